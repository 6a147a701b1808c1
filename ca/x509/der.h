// Strict DER (X.690), read and written without allocation where that is possible. For ca/x509 and JWK (ca/authn).
#ifndef MESHCA_CA_X509_DER_H_
#define MESHCA_CA_X509_DER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace meshca::der {

enum Tag : uint8_t {
  kBoolean = 0x01,
  kInteger = 0x02,
  kBitString = 0x03,
  kOctetString = 0x04,
  kNull = 0x05,
  kOid = 0x06,
  kUtf8String = 0x0c,
  kPrintableString = 0x13,
  kIa5String = 0x16,
  kUtcTime = 0x17,
  kGeneralizedTime = 0x18,
  kSequence = 0x30,
  kSet = 0x31,
};
// Context-specific tags: [n] primitive and [n] constructed.
constexpr uint8_t Context(uint8_t n) { return 0x80 | n; }
constexpr uint8_t ContextConstructed(uint8_t n) { return 0xa0 | n; }

struct Element {
  uint8_t tag = 0;
  absl::string_view content;
  absl::string_view whole;  // tag, length and content
};

// Walks the elements of one level. Definite lengths in their shortest form and one-byte tags only; whatever else X.690
// allows in BER stops it. Borrows the bytes.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  absl::string_view rest() const { return rest_; }

  // False, and nothing is taken, when the bytes are no whole element (or not of tag `tag`).
  bool Next(Element& out);
  bool Read(uint8_t tag, absl::string_view& content);
  bool Read(uint8_t tag, Element& out);

 private:
  absl::string_view rest_;
};

// Content checks. `content` is what Reader gave.
bool IsOid(absl::string_view content);              // at least one arc, each in its shortest form
bool IsInteger(absl::string_view content);          // not empty, shortest form
bool IsPositiveInteger(absl::string_view content);  // and above zero
bool IsPrintableAscii(absl::string_view text);      // 0x20-0x7e
// A BIT STRING without unused bits; `bytes` gets what follows the count.
bool WholeBytes(absl::string_view bit_string, absl::string_view& bytes);
// KeyUsage-like named bits (X.690 §11.2.2), up to 16: first bit lowest. Nothing when badly encoded.
std::optional<uint16_t> NamedBits(absl::string_view bit_string);
// UTCTime YYMMDDHHMMSSZ or GeneralizedTime YYYYMMDDHHMMSSZ, and no other form (RFC 5280 §4.1.2.5).
std::optional<absl::Time> ParseTime(const Element& time);

// The length bytes of an element with `size` bytes of content, appended.
void AppendHeader(uint8_t tag, size_t size, std::string& out);
// How many bytes AppendHeader writes for it.
size_t HeaderSize(size_t size);
void AppendElement(uint8_t tag, absl::string_view content, std::string& out);
std::string MakeElement(uint8_t tag, absl::string_view content);
// UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5); whole seconds.
void AppendTime(absl::Time time, std::string& out);

// "1.2.840.10045.2.1" for an OID's content; "?" when it is none.
std::string OidText(absl::string_view content);

}  // namespace meshca::der

#endif  // MESHCA_CA_X509_DER_H_
