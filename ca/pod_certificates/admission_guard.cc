#include "ca/pod_certificates/admission_guard.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr char kPolicies[] = "validatingadmissionpolicies";
constexpr char kBindings[] = "validatingadmissionpolicybindings";

// The fields of each object, in the order in which they are picked. Those of NarrowingPaths come last.
enum PolicyField {
  kPolicyCreated,
  kFailurePolicy,
  kGroups,
  kOperations,
  kResources,
  kMatchConditions,
  kExpressions,
  kPolicyNarrowed
};
enum BindingField { kBindingCreated, kPolicyName, kActions, kBoundRules, kBindingNarrowed };

// What leaves requests out, of the MatchResources at `of`.
std::vector<std::string> NarrowingPaths(absl::string_view of) {
  std::vector<std::string> paths;
  for (const char* path : {"namespaceSelector.matchLabels.*", "namespaceSelector.matchExpressions[].key",
                           "objectSelector.matchLabels.*", "objectSelector.matchExpressions[].key",
                           "resourceRules[].resourceNames[]", "excludeResourceRules[].resources[]"}) {
    paths.push_back(absl::StrCat(of, ".", path));
  }
  return paths;
}

// Does any of NarrowingPaths, which are the fields from `first` on, say something?
bool IsNarrowed(const kubernetes::PickedFields& object, size_t first) {
  const size_t end = first + NarrowingPaths("").size();
  for (size_t field = first; field < end; ++field) {
    if (!object.All(field).empty()) return true;
  }
  return false;
}

absl::StatusOr<kubernetes::PickedFields> Pick(const std::string& json, std::vector<std::string> paths,
                                              absl::string_view match) {
  for (std::string& path : NarrowingPaths(match)) paths.push_back(std::move(path));
  return kubernetes::PickFields(json, paths);
}

kubernetes::Resource Admission(absl::string_view plural) {
  return {"admissionregistration.k8s.io", "v1", std::string(plural)};
}

absl::Status Missing(absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat(what,
                   ", so whoever may create a PodCertificateRequest could get the identity of any pod: create the "
                   "policy and its binding as they came with meshca"));
}

// An absent object, or a right that is missing to see it, in words.
absl::Status Unseen(absl::string_view kind, const absl::Status& status) {
  if (absl::IsNotFound(status)) {
    return Missing(absl::StrCat("there is no ", kind, " ", kAdmissionPolicyName));
  }
  return absl::UnavailableError(absl::StrCat(kind, " ", kAdmissionPolicyName, ": ", status.message()));
}

bool Has(const kubernetes::PickedFields& object, size_t field, absl::string_view wanted) {
  const auto& all = object.All(field);
  return std::any_of(all.begin(), all.end(),
                     [&](const auto& one) { return one.second == wanted || one.second == "*"; });
}

absl::StatusOr<absl::Time> CreatedAt(const kubernetes::PickedFields& object, size_t field) {
  absl::Time created;
  std::string why;
  if (absl::ParseTime(absl::RFC3339_full, object.Text(field), &created, &why)) return created;
  return absl::UnavailableError(absl::StrCat(kAdmissionPolicyName, ": its creationTimestamp is no time: ", why));
}

absl::StatusOr<absl::Time> JudgePolicy(const std::string& json, absl::string_view signer_name) {
  MESHCA_ASSIGN_OR_RETURN(
      const kubernetes::PickedFields policy,
      Pick(json,
           {"metadata.creationTimestamp", "spec.failurePolicy", "spec.matchConstraints.resourceRules[].apiGroups[]",
            "spec.matchConstraints.resourceRules[].operations[]", "spec.matchConstraints.resourceRules[].resources[]",
            "spec.matchConditions[].expression", "spec.validations[].expression"},
           "spec.matchConstraints"));
  const std::string named = absl::StrCat("ValidatingAdmissionPolicy ", kAdmissionPolicyName);
  if (policy.Text(kFailurePolicy) == "Ignore") {
    return Missing(absl::StrCat(named, " has failurePolicy Ignore"));
  }
  if (IsNarrowed(policy, kPolicyNarrowed) || !Has(policy, kGroups, "certificates.k8s.io") ||
      !Has(policy, kResources, "podcertificaterequests") || !Has(policy, kOperations, "CREATE")) {
    return Missing(absl::StrCat(named, " does not look at every podcertificaterequest that is created"));
  }
  if (policy.All(kExpressions).empty()) return Missing(absl::StrCat(named, " validates nothing"));
  const auto& conditions = policy.All(kMatchConditions);
  const bool fits = std::all_of(conditions.begin(), conditions.end(),
                                [&](const auto& one) { return absl::StrContains(one.second, signer_name); });
  if (!fits) return Missing(absl::StrCat(named, " does not look at requests to signer ", signer_name));
  return CreatedAt(policy, kPolicyCreated);
}

absl::StatusOr<absl::Time> JudgeBinding(const std::string& json) {
  MESHCA_ASSIGN_OR_RETURN(const kubernetes::PickedFields binding,
                          Pick(json,
                               {"metadata.creationTimestamp", "spec.policyName", "spec.validationActions[]",
                                "spec.matchResources.resourceRules[].resources[]"},
                               "spec.matchResources"));
  const std::string named = absl::StrCat("ValidatingAdmissionPolicyBinding ", kAdmissionPolicyName);
  if (binding.Text(kPolicyName) != kAdmissionPolicyName) {
    return Missing(absl::StrCat(named, " binds another policy, ", binding.Text(kPolicyName)));
  }
  if (!Has(binding, kActions, "Deny")) return Missing(absl::StrCat(named, " does not deny: validationActions: [Deny]"));
  if (IsNarrowed(binding, kBindingNarrowed) || !binding.All(kBoundRules).empty()) {
    return Missing(absl::StrCat(named, " binds it for some requests alone"));
  }
  return CreatedAt(binding, kBindingCreated);
}

kubernetes::ApiCall CallToGetNamed(absl::string_view plural) {
  return kubernetes::CallToGet(Admission(plural), "", kAdmissionPolicyName);
}

}  // namespace

kubernetes::ApiCall CallToGetAdmissionPolicy() { return CallToGetNamed(kPolicies); }
kubernetes::ApiCall CallToGetAdmissionBinding() { return CallToGetNamed(kBindings); }

absl::StatusOr<absl::Time> JudgeAdmission(const absl::StatusOr<std::string>& policy,
                                          const absl::StatusOr<std::string>& binding, absl::string_view signer_name) {
  if (!policy.ok()) return Unseen("ValidatingAdmissionPolicy", policy.status());
  if (!binding.ok()) return Unseen("ValidatingAdmissionPolicyBinding", binding.status());
  MESHCA_ASSIGN_OR_RETURN(const absl::Time policy_created, JudgePolicy(*policy, signer_name));
  MESHCA_ASSIGN_OR_RETURN(const absl::Time binding_created, JudgeBinding(*binding));
  return std::max(policy_created, binding_created) + kPolicyTakesHold;
}

}  // namespace meshca
