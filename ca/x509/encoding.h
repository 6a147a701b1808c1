// The two forms certificates travel in, as two types: one never passes for the other.
#ifndef MESHCA_CA_X509_ENCODING_H_
#define MESHCA_CA_X509_ENCODING_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meshca {

// DER bytes (X.690), of whatever the holder says. Not checked.
class Der {
 public:
  Der() = default;
  explicit Der(std::string bytes) : bytes_(std::move(bytes)) {}
  static Der Copy(absl::string_view bytes) { return Der(std::string(bytes)); }
  const std::string& bytes() const { return bytes_; }
  std::string Release() && { return std::move(bytes_); }
  bool empty() const { return bytes_.empty(); }
  friend bool operator==(const Der&, const Der&) = default;

 private:
  std::string bytes_;
};

// PEM text (RFC 7468): zero or more blocks. Not checked.
class Pem {
 public:
  Pem() = default;
  explicit Pem(std::string text) : text_(std::move(text)) {}
  static Pem Copy(absl::string_view text) { return Pem(std::string(text)); }
  const std::string& text() const { return text_; }
  std::string Release() && { return std::move(text_); }
  friend bool operator==(const Pem&, const Pem&) = default;

 private:
  std::string text_;
};

inline constexpr absl::string_view kPemCertificate = "CERTIFICATE";
inline constexpr absl::string_view kPemCertificateRequest = "CERTIFICATE REQUEST";
inline constexpr absl::string_view kPemPrivateKey = "PRIVATE KEY";  // PKCS#8
inline constexpr absl::string_view kPemPublicKey = "PUBLIC KEY";    // SubjectPublicKeyInfo

// One block, lines of 64 characters, a newline at the end.
Pem PemEncode(absl::string_view label, absl::string_view der);
inline Pem PemEncode(absl::string_view label, const Der& der) { return PemEncode(label, der.bytes()); }
// PemEncode, appended to `out` without a copy between.
void AppendPem(absl::string_view label, absl::string_view der, std::string& out);

struct PemBlock {
  absl::string_view label;  // points into the text
  Der der;
};

// Every block of `text`, whatever its label. Text between blocks is allowed (RFC 7468 §5.2 explanatory text).
// InvalidArgument: no block, a block without its end, labels that differ, bad base64; names the block by its number.
absl::StatusOr<std::vector<PemBlock>> PemDecodeBlocks(absl::string_view text);
// The blocks of `text`, all of which must be `label`.
absl::StatusOr<std::vector<Der>> PemDecodeAll(absl::string_view text, absl::string_view label);

std::string HexLower(absl::string_view bytes);
// InvalidArgument: odd length or a byte that is no hex digit. Either case; colons are not accepted.
absl::StatusOr<std::string> HexDecode(absl::string_view text);

}  // namespace meshca

#endif  // MESHCA_CA_X509_ENCODING_H_
