#include "ca/publishing/published_kind.h"

#include "absl/strings/str_cat.h"
#include "ca/base/printable.h"

namespace meshca {
namespace {

// What meshca writes can be told from what others do, and found: kubectl get configmaps -A -l ...
constexpr char kManagedBy[] = R"("app.kubernetes.io/managed-by":"meshca")";

// A "." in the name of a member is no step of a path.
std::string AsOneStep(absl::string_view name) {
  std::string step;
  for (const char character : name) {
    if (character == '.') step.push_back('\\');
    step.push_back(character);
  }
  return step;
}

}  // namespace

kubernetes::ApiCall PublishedKind::CallToPublish(absl::string_view namespace_name, absl::string_view content) const {
  std::string body = before;
  if (!namespace_name.empty()) absl::StrAppend(&body, ",\"namespace\":", JsonString(namespace_name));
  absl::StrAppend(&body, between, JsonString(content), after);
  return kubernetes::CallToApply(resource, namespace_name, name, std::move(body), kubernetes::ApplyConflict::kForce);
}

PublishedKind RootsConfigMap(absl::string_view name, absl::string_view key) {
  PublishedKind kind;
  kind.resource = kubernetes::ConfigMaps();
  kind.described = "ConfigMap";
  kind.name = std::string(name);
  kind.content_path = absl::StrCat("data.", AsOneStep(key));
  kind.before = absl::StrCat(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{"istio.io/config":"true",)",
                             kManagedBy, R"(},"name":)", JsonString(name));
  kind.between = absl::StrCat(R"(},"data":{)", JsonString(key), ":");
  kind.after = "}}";
  return kind;
}

PublishedKind RootsClusterTrustBundle(absl::string_view name, absl::string_view signer_name,
                                      absl::string_view version) {
  PublishedKind kind;
  kind.resource = {"certificates.k8s.io", std::string(version), "clustertrustbundles"};
  kind.described = "ClusterTrustBundle";
  kind.name = std::string(name);
  kind.content_path = "spec.trustBundle";
  kind.before = absl::StrCat(R"({"apiVersion":"certificates.k8s.io/)", version,
                             R"(","kind":"ClusterTrustBundle","metadata":{"labels":{)", kManagedBy, R"(},"name":)",
                             JsonString(name));
  kind.between = absl::StrCat(R"(},"spec":{"signerName":)", JsonString(signer_name), R"(,"trustBundle":)");
  kind.after = "}}";
  return kind;
}

}  // namespace meshca
