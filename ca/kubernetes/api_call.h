// One call of the Kubernetes API: what is done to what, in the words of an RBAC rule.
#ifndef MESHCA_CA_KUBERNETES_API_CALL_H_
#define MESHCA_CA_KUBERNETES_API_CALL_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "ca/kubernetes/resource.h"

namespace meshca::kubernetes {

// A value. The functions below make the usual ones.
struct ApiCall {
  std::string verb;  // RBAC's: "list", "watch", "get", "create", "update", "patch", "delete"
  Resource resource;
  std::string namespace_name;  // "": all namespaces, or of a resource that has none
  std::string name;
  std::string subresource;
  // "/openid/v1/jwks": no resource is asked for but this path, which RBAC calls a nonResourceURL. "": a resource.
  std::string path;
  std::string accept;        // "": application/json
  std::string query;         // "limit=500&continue=...", without "?"
  std::string body;          // JSON
  std::string content_type;  // of `body`; "": application/json
  // The body holds a key or a token. The API server's own words, which may quote the body, are then left out of errors.
  bool body_is_secret = false;
  // The name of the one object for which a Role of the namespace gives the right; "": the ClusterRole gives it for all.
  // For the advice where it is missing: nobody is to be told to open all Secrets of a cluster.
  std::string granted_for;
  // An update that creates the object where it is not there, which takes the right to do that too.
  bool may_create = false;

  // The method of HTTP that the verb stands for.
  const char* Method() const;
  // Path and query.
  std::string Target() const;
  // "create tokenreviews.authentication.k8s.io", "update pods/status web-1 in namespace web": for errors.
  std::string Text() const;
  // "{apiGroups: [\"\"], resources: [pods/status], verbs: [update]}": the rule of a role that allows the call, for one
  // object where it is granted for one. An apply needs `create` too, where the object is not there yet.
  std::string RbacRule() const;
};

// An answer that is one object has at most this many bytes, whatever others have put into it: the API server keeps 1.5
// MiB of one, and JSON takes six bytes for one where each is escaped. Who reads less fails where a stranger fills the
// object.
inline constexpr size_t kObjectBytesMax = 10 * 1024 * 1024;

// Reads what the API server has under a path of its own, beside its resources, as one of the media types of `accept`.
ApiCall CallToGetPath(absl::string_view path, absl::string_view accept);

// Reads one object.
ApiCall CallToGet(const Resource& resource, absl::string_view namespace_name, absl::string_view name);

// Creates the object in `body`, which may name itself. AlreadyExists where it is there. A TokenReview is created too.
ApiCall CallToCreate(const Resource& resource, absl::string_view namespace_name, std::string body);

// What an apply does where another field manager holds a field with another value.
enum class ApplyConflict {
  kRefuse,  // Aborted, and the error names the manager
  kForce,   // the field becomes ours
};

// Server-side apply: makes the fields that `body` has what `body` says, and creates the object where it is not there.
// Fields that an earlier apply of ours set and this one leaves out are removed. Our field manager is "meshca". `body`
// is JSON with apiVersion, kind and metadata.name.
ApiCall CallToApply(const Resource& resource, absl::string_view namespace_name, absl::string_view name,
                    std::string body, ApplyConflict conflict);

// Replaces the status of an object: `body` is the whole object, with the resourceVersion that was read. Aborted where
// somebody has changed the object since then.
ApiCall CallToUpdateStatus(const Resource& resource, absl::string_view namespace_name, absl::string_view name,
                           std::string body);

// Replaces the whole object by `body`: with a resourceVersion in it, Aborted where somebody has changed the object
// since then. Without one it is created where the API server has it so (Leases), and InvalidArgument or Aborted where
// it is there.
ApiCall CallToReplace(const Resource& resource, absl::string_view namespace_name, absl::string_view name,
                      std::string body);

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_API_CALL_H_
