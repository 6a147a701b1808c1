#include "ca/publishing/published_kind.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/printable.h"

namespace meshca {
namespace {

// What meshca writes can be told from what others do, and found: kubectl get configmaps -A -l ...
const std::pair<std::string, std::string> kManagedBy = {"app.kubernetes.io/managed-by", "meshca"};

// A "." in the name of a member is no step of a path.
std::string AsOneStep(absl::string_view name) {
  std::string step;
  for (const char character : name) {
    if (character == '.') step.push_back('\\');
    step.push_back(character);
  }
  return step;
}

std::string LabelsJson(const std::vector<std::pair<std::string, std::string>>& labels) {
  const auto append = [](std::string* out, const auto& label) {
    absl::StrAppend(out, JsonString(label.first), ":", JsonString(label.second));
  };
  return absl::StrCat("{", absl::StrJoin(labels, ",", append), "}");
}

}  // namespace

std::vector<std::string> PublishedKind::LabelPaths() const {
  std::vector<std::string> paths;
  paths.reserve(labels.size());
  for (const auto& [name, value] : labels) paths.push_back(absl::StrCat("metadata.labels.", AsOneStep(name)));
  return paths;
}

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
  kind.labels = {{"istio.io/config", "true"}, kManagedBy};
  kind.before = absl::StrCat(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":)", LabelsJson(kind.labels),
                             R"(,"name":)", JsonString(name));
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
  kind.labels = {kManagedBy};
  kind.before = absl::StrCat(R"({"apiVersion":"certificates.k8s.io/)", version,
                             R"(","kind":"ClusterTrustBundle","metadata":{"labels":)", LabelsJson(kind.labels),
                             R"(,"name":)", JsonString(name));
  kind.between = absl::StrCat(R"(},"spec":{"signerName":)", JsonString(signer_name), R"(,"trustBundle":)");
  kind.after = "}}";
  return kind;
}

}  // namespace meshca
