#include "ca/kubernetes/secret_data.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ca/base/printable.h"
#include "ca/json/json_stream.h"
#include "ca/kubernetes/picked_fields.h"

namespace meshca::kubernetes {

absl::StatusOr<SecretData> ReadSecretData(absl::string_view json) {
  enum { kSecretKind, kSecretData };  // in the order of the paths
  // A parser's words could quote the key.
  const absl::StatusOr<PickedFields> fields = PickFields(json, {"kind", "data.*"});
  if (!fields.ok()) return absl::InvalidArgumentError("the API server's answer is no JSON object");
  if (fields->Text(kSecretKind) != "Secret") return absl::InvalidArgumentError("the API server's answer is no Secret");
  SecretData data;
  for (const auto& [name, text] : fields->All(kSecretData)) {
    const auto fault = [&name = name](absl::string_view what) {
      return absl::InvalidArgumentError(absl::StrCat("its key ", Printable(name), " ", what));
    };
    // Of what is longer only the beginning was kept, and half a file is none.
    if (text.size() >= JsonStream::kTextBytesMax) return fault("is longer than any chain of certificates");
    std::string bytes;
    if (!absl::Base64Unescape(text, &bytes)) return fault("is no base64");
    data.insert_or_assign(name, SecretBytes(std::move(bytes)));
  }
  return data;
}

}  // namespace meshca::kubernetes
