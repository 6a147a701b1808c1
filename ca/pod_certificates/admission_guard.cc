#include "ca/pod_certificates/admission_guard.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "ca/base/status.h"
#include "ca/json/json_stream.h"
#include "ca/kubernetes/api_refusal.h"

namespace meshca {
namespace {

constexpr char kPolicies[] = "validatingadmissionpolicies";
constexpr char kBindings[] = "validatingadmissionpolicybindings";

// The fields of each object, in the order in which they are picked. Those of NarrowingPaths come last.
enum ObjectField { kObjectCreated, kObjectWritten, kObjectUid, kObjectGeneration, kObjectFields };
enum PolicyField {
  kFailurePolicy = kObjectFields,
  kMatchPolicy,
  kGroups,
  kVersions,
  kOperations,
  kResources,
  kScopes,
  kParamKind,
  kMatchConditions,
  kExpressions,
  kPolicyNarrowed
};
enum BindingField { kPolicyName = kObjectFields, kActions, kBoundRules, kBindingNarrowed };

// What the policy has to demand, as admission_policy.yaml and the chart say it. Whatever else is demanded beside it
// lets fewer through. Another expression that would do as well cannot be told from one that lets everybody through.
constexpr char kByANode[] = "'system:nodes' in request.userInfo.groups";
constexpr char kByThatNode[] = "request.userInfo.username == 'system:node:' + object.spec.nodeName";

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

absl::Status Missing(absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat(what,
                   ", so whoever may create a PodCertificateRequest could get the identity of any pod: create the "
                   "policy and its binding as they came with meshca"));
}

// Is anything left out of what was picked, or may it be? Of an expression that goes on where its text ends nobody can
// say what it lets through.
bool IsCutShort(const kubernetes::PickedFields& object, size_t fields) {
  constexpr size_t kAllBytesMax = kubernetes::FieldPicker::kOfOneObjectBytesMax - JsonStream::kTextBytesMax;
  size_t bytes = 0;
  for (size_t field = 0; field < fields; ++field) {
    const auto& all = object.All(field);
    if (all.size() >= kubernetes::FieldPicker::kOfOnePathMax) return true;
    for (const auto& [name, text] : all) {
      if (text.size() >= JsonStream::kTextBytesMax) return true;
      bytes += name.size() + text.size();
    }
  }
  return bytes >= kAllBytesMax;
}

// The fields at `paths`, after those that each object has, and before what narrows its MatchResources at `match`.
absl::StatusOr<kubernetes::PickedFields> Pick(const std::string& json, absl::string_view named,
                                              std::vector<std::string> paths, absl::string_view match) {
  std::vector<std::string> all = {"metadata.creationTimestamp", "metadata.managedFields[].time", "metadata.uid",
                                  "metadata.generation"};
  for (std::vector<std::string>& more : std::array{std::move(paths), NarrowingPaths(match)}) {
    for (std::string& path : more) all.push_back(std::move(path));
  }
  MESHCA_ASSIGN_OR_RETURN(kubernetes::PickedFields object, kubernetes::PickFields(json, all));
  if (IsCutShort(object, all.size())) {
    return Missing(absl::StrCat(named, " is too long to be judged: an expression or a list of it has no end here"));
  }
  return object;
}

kubernetes::Resource AdmissionResource(absl::string_view plural) {
  return {"admissionregistration.k8s.io", "v1", std::string(plural)};
}

// An absent object, or a right that is missing to see it, in words.
absl::Status Unseen(absl::string_view kind, const absl::Status& status) {
  if (kubernetes::IsMissingObject(status)) {
    return Missing(absl::StrCat("there is no ", kind, " ", kAdmissionPolicyName));
  }
  return absl::UnavailableError(absl::StrCat(kind, " ", kAdmissionPolicyName, ": ", status.message()));
}

bool Has(const kubernetes::PickedFields& object, size_t field, absl::string_view wanted) {
  const auto& all = object.All(field);
  return std::any_of(all.begin(), all.end(),
                     [&](const auto& one) { return one.second == wanted || one.second == "*"; });
}

// Is each text of the field among `allowed`? The texts of several rules are not told apart, so one that does not fit
// might be of the only rule that seemed to.
bool AreAllOf(const kubernetes::PickedFields& object, size_t field, std::initializer_list<absl::string_view> allowed) {
  const auto& all = object.All(field);
  return std::all_of(all.begin(), all.end(), [&](const auto& one) {
    return std::find(allowed.begin(), allowed.end(), one.second) != allowed.end();
  });
}

// An expression without what makes no difference to it: how much space, and which quotes a text stands in.
std::string WithoutStyle(std::string expression) {
  absl::RemoveExtraAsciiWhitespace(&expression);
  for (char& c : expression) c = absl::ascii_isspace(static_cast<unsigned char>(c)) ? ' ' : c;
  return absl::StrReplaceAll(expression, {{"\"", "'"}});
}

bool LooksAtEveryCreation(const kubernetes::PickedFields& policy) {
  // By the version of the API that is not named, a stranger's would pass where matchPolicy is Exact.
  const bool by_any_version = policy.Text(kMatchPolicy) == "Exact"
                                  ? !policy.All(kVersions).empty() && AreAllOf(policy, kVersions, {"*"})
                                  : Has(policy, kVersions, "v1") && Has(policy, kVersions, "v1beta1");
  return by_any_version && !IsNarrowed(policy, kPolicyNarrowed) && Has(policy, kGroups, "certificates.k8s.io") &&
         AreAllOf(policy, kGroups, {"certificates.k8s.io", "*"}) && Has(policy, kResources, "podcertificaterequests") &&
         AreAllOf(policy, kResources, {"podcertificaterequests", "*"}) && Has(policy, kOperations, "CREATE") &&
         AreAllOf(policy, kOperations, {"CREATE", "*"}) && AreAllOf(policy, kScopes, {"Namespaced", "*"});
}

bool LetsTheNodeAloneThrough(const kubernetes::PickedFields& policy) {
  std::set<std::string> demanded;
  for (const auto& [name, expression] : policy.All(kExpressions)) demanded.insert(WithoutStyle(expression));
  return demanded.contains(absl::StrCat(kByANode, " && ", kByThatNode)) ||
         (demanded.contains(kByANode) && demanded.contains(kByThatNode));
}

absl::StatusOr<absl::Time> TimeOf(absl::string_view text) {
  absl::Time time;
  std::string why;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &why)) return time;
  return absl::UnavailableError(absl::StrCat(kAdmissionPolicyName, ": a time of its metadata is none: ", why));
}

// Of an object that is as it has to be. One that was edited, and edited back, shows that by the time of a field's
// last change.
absl::StatusOr<Admission> AdmissionOf(const kubernetes::PickedFields& object) {
  Admission admission;
  MESHCA_ASSIGN_OR_RETURN(admission.since, TimeOf(object.Text(kObjectCreated)));
  for (const auto& [name, text] : object.All(kObjectWritten)) {
    MESHCA_ASSIGN_OR_RETURN(const absl::Time written, TimeOf(text));
    admission.since = std::max(admission.since, written);
  }
  admission.since += kPolicyTakesHold;
  admission.edition = absl::StrCat(object.Text(kObjectUid), " ", object.Text(kObjectGeneration));
  admission.edited = object.Text(kObjectGeneration) != "1";
  return admission;
}

absl::StatusOr<Admission> JudgePolicy(const std::string& json, absl::string_view signer_name) {
  const std::string named = absl::StrCat("ValidatingAdmissionPolicy ", kAdmissionPolicyName);
  MESHCA_ASSIGN_OR_RETURN(
      const kubernetes::PickedFields policy,
      Pick(json, named,
           {"spec.failurePolicy", "spec.matchConstraints.matchPolicy",
            "spec.matchConstraints.resourceRules[].apiGroups[]", "spec.matchConstraints.resourceRules[].apiVersions[]",
            "spec.matchConstraints.resourceRules[].operations[]", "spec.matchConstraints.resourceRules[].resources[]",
            "spec.matchConstraints.resourceRules[].scope", "spec.paramKind.kind", "spec.matchConditions[].expression",
            "spec.validations[].expression"},
           "spec.matchConstraints"));
  if (policy.Text(kFailurePolicy) == "Ignore") {
    return Missing(absl::StrCat(named, " has failurePolicy Ignore"));
  }
  if (!LooksAtEveryCreation(policy)) {
    return Missing(absl::StrCat(named, " does not look at every podcertificaterequest that is created"));
  }
  // A parameter that is not found may let a request through unseen.
  if (!policy.All(kParamKind).empty()) return Missing(absl::StrCat(named, " has a paramKind"));
  if (policy.All(kExpressions).empty()) return Missing(absl::StrCat(named, " validates nothing"));
  if (!LetsTheNodeAloneThrough(policy)) {
    return Missing(absl::StrCat(named, " has other validations than (", kByANode, ") and (", kByThatNode, ")"));
  }
  const std::string of_signer = absl::StrCat("object.spec.signerName == '", signer_name, "'");
  for (const auto& [name, condition] : policy.All(kMatchConditions)) {
    if (WithoutStyle(condition) == of_signer) continue;
    return Missing(absl::StrCat(named, " does not look at all requests to signer ", signer_name,
                                ": it has another matchCondition than (", of_signer, ")"));
  }
  return AdmissionOf(policy);
}

absl::StatusOr<Admission> JudgeBinding(const std::string& json) {
  const std::string named = absl::StrCat("ValidatingAdmissionPolicyBinding ", kAdmissionPolicyName);
  MESHCA_ASSIGN_OR_RETURN(
      const kubernetes::PickedFields binding,
      Pick(json, named,
           {"spec.policyName", "spec.validationActions[]", "spec.matchResources.resourceRules[].resources[]"},
           "spec.matchResources"));
  if (binding.Text(kPolicyName) != kAdmissionPolicyName) {
    return Missing(absl::StrCat(named, " binds another policy, ", binding.Text(kPolicyName)));
  }
  if (!Has(binding, kActions, "Deny")) return Missing(absl::StrCat(named, " does not deny: validationActions: [Deny]"));
  if (IsNarrowed(binding, kBindingNarrowed) || !binding.All(kBoundRules).empty()) {
    return Missing(absl::StrCat(named, " binds it for some requests alone"));
  }
  return AdmissionOf(binding);
}

kubernetes::ApiCall CallToGetNamed(absl::string_view plural) {
  return kubernetes::CallToGet(AdmissionResource(plural), "", kAdmissionPolicyName);
}

}  // namespace

kubernetes::ApiCall CallToGetAdmissionPolicy() { return CallToGetNamed(kPolicies); }
kubernetes::ApiCall CallToGetAdmissionBinding() { return CallToGetNamed(kBindings); }

absl::StatusOr<Admission> JudgeAdmission(const absl::StatusOr<std::string>& policy,
                                         const absl::StatusOr<std::string>& binding, absl::string_view signer_name) {
  if (!policy.ok()) return Unseen("ValidatingAdmissionPolicy", policy.status());
  if (!binding.ok()) return Unseen("ValidatingAdmissionPolicyBinding", binding.status());
  MESHCA_ASSIGN_OR_RETURN(const Admission of_policy, JudgePolicy(*policy, signer_name));
  MESHCA_ASSIGN_OR_RETURN(const Admission of_binding, JudgeBinding(*binding));
  return Admission{std::max(of_policy.since, of_binding.since),
                   absl::StrCat(of_policy.edition, ", ", of_binding.edition), of_policy.edited || of_binding.edited};
}

}  // namespace meshca
