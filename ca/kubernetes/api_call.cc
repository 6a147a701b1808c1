#include "ca/kubernetes/api_call.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace meshca::kubernetes {
namespace {

// JSON is YAML, and the API server takes an apply under this name alone (application/apply-patch+json does not exist).
constexpr char kApplyContentType[] = "application/apply-patch+yaml";
constexpr char kFieldManager[] = "meshca";

ApiCall CallOf(absl::string_view verb, const Resource& resource, absl::string_view namespace_name,
               absl::string_view name) {
  ApiCall call;
  call.verb = std::string(verb);
  call.resource = resource;
  call.namespace_name = std::string(namespace_name);
  call.name = std::string(name);
  return call;
}

}  // namespace

const char* ApiCall::Method() const {
  if (verb == "create") return "POST";
  if (verb == "update") return "PUT";
  if (verb == "patch") return "PATCH";
  if (verb == "delete") return "DELETE";
  return "GET";
}

std::string ApiCall::Target() const {
  if (!path.empty()) return path;
  return absl::StrCat(resource.Path(namespace_name, name, subresource), query.empty() ? "" : "?", query);
}

std::string ApiCall::Text() const {
  if (!path.empty()) return absl::StrCat(verb, " ", path);
  return absl::StrCat(verb, " ", resource.Text(subresource), name.empty() ? "" : " ", name,
                      namespace_name.empty() ? "" : " in namespace ", namespace_name);
}

std::string ApiCall::RbacRule() const {
  if (!path.empty()) return absl::StrCat("{nonResourceURLs: [\"", path, "\"], verbs: [", verb, "]}");
  const bool is_apply = content_type == kApplyContentType;
  return absl::StrCat("{apiGroups: [\"", resource.group, "\"], resources: [", resource.plural,
                      subresource.empty() ? "" : "/", subresource, "], ",
                      granted_for.empty() ? "" : absl::StrCat("resourceNames: [\"", granted_for, "\"], "), "verbs: [",
                      is_apply || may_create ? "create, " : "", verb, "]}");
}

ApiCall CallToGetPath(absl::string_view path, absl::string_view accept) {
  ApiCall call;
  call.verb = "get";
  call.path = std::string(path);
  call.accept = std::string(accept);
  return call;
}

ApiCall CallToGet(const Resource& resource, absl::string_view namespace_name, absl::string_view name) {
  return CallOf("get", resource, namespace_name, name);
}

ApiCall CallToCreate(const Resource& resource, absl::string_view namespace_name, std::string body) {
  ApiCall call = CallOf("create", resource, namespace_name, "");
  call.query = absl::StrCat("fieldManager=", kFieldManager);
  call.body = std::move(body);
  return call;
}

ApiCall CallToApply(const Resource& resource, absl::string_view namespace_name, absl::string_view name,
                    std::string body, ApplyConflict conflict) {
  ApiCall call = CallOf("patch", resource, namespace_name, name);
  call.query =
      absl::StrCat("fieldManager=", kFieldManager, conflict == ApplyConflict::kForce ? "&force=true" : "&force=false");
  call.body = std::move(body);
  call.content_type = kApplyContentType;
  return call;
}

ApiCall CallToUpdateStatus(const Resource& resource, absl::string_view namespace_name, absl::string_view name,
                           std::string body) {
  ApiCall call = CallOf("update", resource, namespace_name, name);
  call.subresource = "status";
  call.query = absl::StrCat("fieldManager=", kFieldManager);
  call.body = std::move(body);
  return call;
}

ApiCall CallToReplace(const Resource& resource, absl::string_view namespace_name, absl::string_view name,
                      std::string body) {
  ApiCall call = CallOf("update", resource, namespace_name, name);
  call.query = absl::StrCat("fieldManager=", kFieldManager);
  call.body = std::move(body);
  call.may_create = true;
  return call;
}

}  // namespace meshca::kubernetes
