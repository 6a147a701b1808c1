// The kinds of Kubernetes objects in which trust is published, and where in each the roots stand.
#ifndef MESHCA_CA_PUBLISHING_PUBLISHED_KIND_H_
#define MESHCA_CA_PUBLISHING_PUBLISHED_KIND_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "ca/kubernetes/api_call.h"
#include "ca/kubernetes/resource.h"

namespace meshca {

// One object name of one kind, which may stand in many namespaces. A value.
struct PublishedKind {
  kubernetes::Resource resource;
  std::string described;                                    // "ConfigMap", for people
  std::string name;                                         // of the object
  std::vector<std::pair<std::string, std::string>> labels;  // that it has, beside those of others
  std::string content_path;                                 // kubernetes::FieldPicker's, of the text that is published
  std::string before;   // JSON of the object that is applied, around metadata.namespace ...
  std::string between;  // ... and the text
  std::string after;

  // The path of each of `labels`.
  std::vector<std::string> LabelPaths() const;

  // Writes `content` and the labels there, whoever else holds the fields.
  kubernetes::ApiCall CallToPublish(absl::string_view namespace_name, absl::string_view content) const;
};

// A ConfigMap with the roots as PEM under `key`, as Istio's sidecars mount it: in every namespace that has workloads.
PublishedKind RootsConfigMap(absl::string_view name, absl::string_view key);

// A ClusterTrustBundle of `signer_name` (certificates.k8s.io, `version` "v1" or "v1beta1"), in no namespace.
PublishedKind RootsClusterTrustBundle(absl::string_view name, absl::string_view signer_name, absl::string_view version);

}  // namespace meshca

#endif  // MESHCA_CA_PUBLISHING_PUBLISHED_KIND_H_
