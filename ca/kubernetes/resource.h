// A kind of object that the Kubernetes API serves, and where.
#ifndef MESHCA_CA_KUBERNETES_RESOURCE_H_
#define MESHCA_CA_KUBERNETES_RESOURCE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace meshca::kubernetes {

// A value: "certificates.k8s.io", "v1", "podcertificaterequests".
struct Resource {
  std::string group;  // "": the core group
  std::string version;
  std::string plural;

  // The path of the objects of `namespace_name` ("": of all namespaces, or of a resource that has none): with `name` of
  // one object, with `subresource` that part of it.
  std::string Path(absl::string_view namespace_name = "", absl::string_view name = "",
                   absl::string_view subresource = "") const;
  // "podcertificaterequests.certificates.k8s.io/status", as RBAC rules and people write it.
  std::string Text(absl::string_view subresource = "") const;
};

// What is read and written here.
Resource Pods();
Resource Namespaces();
Resource ServiceAccounts();
Resource ConfigMaps();
Resource Secrets();
Resource TokenReviews();

// `text` as one part of a path or the value of a query.
std::string PercentEncode(absl::string_view text);

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_RESOURCE_H_
