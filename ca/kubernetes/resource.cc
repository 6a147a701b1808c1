#include "ca/kubernetes/resource.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace meshca::kubernetes {

std::string PercentEncode(absl::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' || c == '~') {
      encoded.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded.push_back('%');
      encoded.push_back(kHex[byte >> 4]);
      encoded.push_back(kHex[byte & 15]);
    }
  }
  return encoded;
}

std::string Resource::Path(absl::string_view namespace_name, absl::string_view name,
                           absl::string_view subresource) const {
  std::string path = group.empty() ? absl::StrCat("/api/", version) : absl::StrCat("/apis/", group, "/", version);
  if (!namespace_name.empty()) absl::StrAppend(&path, "/namespaces/", PercentEncode(namespace_name));
  absl::StrAppend(&path, "/", plural);
  if (!name.empty()) absl::StrAppend(&path, "/", PercentEncode(name));
  if (!subresource.empty()) absl::StrAppend(&path, "/", subresource);
  return path;
}

std::string Resource::Text(absl::string_view subresource) const {
  return absl::StrCat(plural, group.empty() ? "" : ".", group, subresource.empty() ? "" : "/", subresource);
}

Resource Pods() { return {"", "v1", "pods"}; }
Resource Namespaces() { return {"", "v1", "namespaces"}; }
Resource ServiceAccounts() { return {"", "v1", "serviceaccounts"}; }
Resource ConfigMaps() { return {"", "v1", "configmaps"}; }
Resource Secrets() { return {"", "v1", "secrets"}; }
Resource TokenReviews() { return {"authentication.k8s.io", "v1", "tokenreviews"}; }

}  // namespace meshca::kubernetes
