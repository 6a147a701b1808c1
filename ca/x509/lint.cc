#include "ca/x509/lint.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/x509/der.h"
#include "ca/x509/oids.h"
#include "ca/x509/signature_algorithm.h"

namespace meshca {
namespace {

constexpr size_t kSerialBytesMax = 20;
constexpr uint16_t kDigitalSignatureBit = 1 << 0;
constexpr uint16_t kKeyEnciphermentBit = 1 << 2;
constexpr uint16_t kKeyAgreementBit = 1 << 4;

absl::Status Finding(absl::string_view rule) {
  return WithReason(absl::InternalError(absl::StrCat("lint: ", rule)), "LINT");
}

// Walks one TBSCertificate. Small on purpose: it must not share a mistake with the writer.
class Linter {
 public:
  explicit Linter(absl::string_view tbs) : tbs_(tbs) {}

  absl::Status Run() {
    der::Reader whole(tbs_);
    absl::string_view content, version;
    if (!whole.Read(der::kSequence, content) || !whole.empty())
      return Finding("TBSCertificate is not one DER SEQUENCE");
    der::Reader reader(content);
    if (!reader.Read(der::ContextConstructed(0), version) || version != absl::string_view("\x02\x01\x02", 3)) {
      return Finding("version is not v3 (RFC 5280 §4.1.2.1)");
    }
    MESHCA_RETURN_IF_ERROR(CheckSerial(reader));
    der::Element algorithm;
    if (!reader.Read(der::kSequence, algorithm) || !IsKnownAlgorithm(algorithm.whole)) {
      return Finding("signature algorithm is not one meshca signs with (RFC 5280 §4.1.2.3)");
    }
    absl::string_view issuer, subject, key;
    if (!reader.Read(der::kSequence, issuer) || issuer.empty()) return Finding("issuer is empty (RFC 5280 §4.1.2.4)");
    MESHCA_RETURN_IF_ERROR(CheckValidity(reader));
    if (!reader.Read(der::kSequence, subject)) return Finding("subject is not a Name (RFC 5280 §4.1.2.6)");
    subject_empty_ = subject.empty();
    if (!reader.Read(der::kSequence, key) || key.empty()) return Finding("no SubjectPublicKeyInfo (RFC 5280 §4.1.2.7)");
    absl::string_view extensions;
    if (!reader.Read(der::ContextConstructed(3), extensions)) return Finding("no extensions (RFC 5280 §4.1.2.9)");
    if (!reader.empty()) return Finding("bytes follow the extensions (RFC 5280 §4.1)");
    MESHCA_RETURN_IF_ERROR(CheckExtensions(extensions));
    return CheckPresence();
  }

 private:
  static bool IsKnownAlgorithm(absl::string_view algorithm) {
    return algorithm == kEcdsaWithSha256Algorithm || algorithm == kEcdsaWithSha384Algorithm ||
           algorithm == kEd25519Algorithm || algorithm == kSha256WithRsaAlgorithm;
  }

  static absl::Status CheckSerial(der::Reader& reader) {
    absl::string_view serial;
    if (!reader.Read(der::kInteger, serial) || !der::IsPositiveInteger(serial)) {
      return Finding("serialNumber is not a positive INTEGER in shortest form (RFC 5280 §4.1.2.2)");
    }
    if (serial.size() > kSerialBytesMax) return Finding("serialNumber is longer than 20 bytes (RFC 5280 §4.1.2.2)");
    return absl::OkStatus();
  }

  static absl::Status CheckValidity(der::Reader& reader) {
    absl::string_view content;
    der::Element from, until;
    if (!reader.Read(der::kSequence, content)) return Finding("no validity (RFC 5280 §4.1.2.5)");
    der::Reader times(content);
    if (!times.Next(from) || !times.Next(until) || !times.empty()) {
      return Finding("validity is not two times (RFC 5280 §4.1.2.5)");
    }
    const std::optional<absl::Time> not_before = der::ParseTime(from);
    const std::optional<absl::Time> not_after = der::ParseTime(until);
    if (!not_before.has_value() || !not_after.has_value()) {
      return Finding("a time of validity is not UTC in whole seconds (RFC 5280 §4.1.2.5)");
    }
    for (const der::Element& time : {from, until}) {
      if (time.tag == der::kGeneralizedTime && time.content < absl::string_view("2050")) {
        return Finding("a time before 2050 is not a UTCTime (RFC 5280 §4.1.2.5)");
      }
    }
    if (*not_before >= *not_after) return Finding("notBefore is not before notAfter (RFC 5280 §4.1.2.5)");
    return absl::OkStatus();
  }

  absl::Status CheckExtensions(absl::string_view explicit_content) {
    der::Reader outer(explicit_content);
    absl::string_view list;
    if (!outer.Read(der::kSequence, list) || !outer.empty() || list.empty()) {
      return Finding("extensions are not one SEQUENCE (RFC 5280 §4.1.2.9)");
    }
    der::Reader reader(list);
    while (!reader.empty()) {
      absl::string_view extension, oid, flag, value;
      if (!reader.Read(der::kSequence, extension)) return Finding("an extension is no SEQUENCE (RFC 5280 §4.1.2.9)");
      der::Reader fields(extension);
      if (!fields.Read(der::kOid, oid)) return Finding("an extension has no name (RFC 5280 §4.1.2.9)");
      const bool critical = fields.Read(der::kBoolean, flag);
      if (critical && flag != "\xff") return Finding("a critical flag is not DER TRUE (X.690 §11.1)");
      if (!fields.Read(der::kOctetString, value) || !fields.empty()) {
        return Finding("an extension has no value (RFC 5280 §4.1.2.9)");
      }
      MESHCA_RETURN_IF_ERROR(CheckOnce(oid));
      MESHCA_RETURN_IF_ERROR(CheckExtension(oid, critical, value));
    }
    return absl::OkStatus();
  }

  absl::Status CheckOnce(absl::string_view oid) {
    for (size_t i = 0; i < seen_count_; ++i) {
      if (seen_[i] == oid) return Finding("an extension is there twice (RFC 5280 §4.2)");
    }
    if (seen_count_ == seen_.size()) return Finding("more extensions than meshca writes");
    seen_[seen_count_++] = oid;
    return absl::OkStatus();
  }

  absl::Status CheckExtension(absl::string_view oid, bool critical, absl::string_view value) {
    if (oid == oid::kSubjectAltName) return CheckNames(critical, value);
    if (oid == oid::kBasicConstraints) return CheckBasicConstraints(value);
    if (oid == oid::kKeyUsage) return CheckKeyUsage(critical, value);
    if (oid == oid::kExtendedKeyUsage) return CheckExtendedKeyUsage(value);
    if (oid == oid::kNameConstraints) return Finding("a leaf has nameConstraints (X509-SVID §4.2)");
    const bool key_id = oid == oid::kSubjectKeyIdentifier || oid == oid::kAuthorityKeyIdentifier;
    if (key_id && critical) return Finding("a key identifier is critical (RFC 5280 §4.2.1.1)");
    if (!key_id && critical) return Finding("an unknown extension is critical (RFC 5280 §4.2)");
    return absl::OkStatus();
  }

  absl::Status CheckNames(bool critical, absl::string_view value) {
    has_names_ = true;
    if (subject_empty_ && !critical) {
      return Finding("subjectAltName is not critical though the subject is empty (RFC 5280 §4.2.1.6)");
    }
    der::Reader outer(value);
    absl::string_view content;
    if (!outer.Read(der::kSequence, content) || !outer.empty()) {
      return Finding("subjectAltName is not one SEQUENCE (RFC 5280 §4.2.1.6)");
    }
    der::Reader names(content);
    while (!names.empty()) {
      der::Element name;
      if (!names.Next(name)) return Finding("a name cannot be read (RFC 5280 §4.2.1.6)");
      if (name.tag == der::Context(6)) {
        if (++uri_count_ > 1) return Finding("more than one URI name (X509-SVID §2)");
        MESHCA_RETURN_IF_ERROR(CheckUri(name.content));
      } else if (name.tag != der::Context(2) && name.tag != der::Context(7)) {
        return Finding("a name is neither URI, DNS name nor IP address");
      } else if (name.content.empty() || (name.tag == der::Context(2) && !der::IsPrintableAscii(name.content))) {
        return Finding("a DNS name is empty or not printable ASCII (RFC 5280 §4.2.1.6)");
      }
    }
    return absl::OkStatus();
  }

  static absl::Status CheckUri(absl::string_view uri) {
    const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(uri);
    if (!id.ok()) return Finding(absl::StrCat("URI name: ", id.status().message(), " (X509-SVID §2)"));
    if (!id->has_path()) return Finding("the SPIFFE ID of a workload has no path (X509-SVID §5.2)");
    if (id->uri() != uri) return Finding("the SPIFFE ID is not in lower-case form (SPIFFE-ID §2.1)");
    return absl::OkStatus();
  }

  absl::Status CheckBasicConstraints(absl::string_view value) {
    // cA is FALSE by default, and DER leaves defaults out; a path length belongs to a CA.
    if (value != absl::string_view("\x30\x00", 2)) return Finding("basicConstraints is not cA false (X509-SVID §4.1)");
    return absl::OkStatus();
  }

  absl::Status CheckKeyUsage(bool critical, absl::string_view value) {
    has_key_usage_ = true;
    if (!critical) return Finding("keyUsage is not critical (X509-SVID §4.3)");
    der::Reader outer(value);
    absl::string_view bits;
    if (!outer.Read(der::kBitString, bits) || !outer.empty()) return Finding("keyUsage is no BIT STRING");
    const std::optional<uint16_t> usage = der::NamedBits(bits);
    if (!usage.has_value() || (*usage & kDigitalSignatureBit) == 0) {
      return Finding("keyUsage lacks digitalSignature (X509-SVID §4.3)");
    }
    if ((*usage & ~(kDigitalSignatureBit | kKeyEnciphermentBit | kKeyAgreementBit)) != 0) {
      return Finding("keyUsage has keyCertSign, cRLSign or another bit no leaf has (X509-SVID §4.3)");
    }
    return absl::OkStatus();
  }

  absl::Status CheckExtendedKeyUsage(absl::string_view value) {
    der::Reader outer(value);
    absl::string_view content, oid;
    if (!outer.Read(der::kSequence, content) || !outer.empty()) return Finding("extendedKeyUsage is no SEQUENCE");
    der::Reader purposes(content);
    while (!purposes.empty()) {
      if (!purposes.Read(der::kOid, oid)) return Finding("an extended key usage is no OID");
      if (oid == oid::kServerAuth) {
        server_auth_ = true;
      } else if (oid == oid::kClientAuth) {
        client_auth_ = true;
      } else {
        return Finding("extendedKeyUsage has a purpose no workload has (X509-SVID §4.4)");
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckPresence() const {
    if (!has_names_ || uri_count_ != 1) return Finding("no URI name (X509-SVID §2)");
    if (!has_key_usage_) return Finding("no keyUsage (X509-SVID §4.3)");
    if (!server_auth_ || !client_auth_) {
      return Finding("extendedKeyUsage lacks serverAuth or clientAuth (X509-SVID §4.4)");
    }
    return absl::OkStatus();
  }

  const absl::string_view tbs_;
  std::array<absl::string_view, 8> seen_;
  size_t seen_count_ = 0;
  int uri_count_ = 0;
  bool subject_empty_ = false;
  bool has_names_ = false;
  bool has_key_usage_ = false;
  bool server_auth_ = false;
  bool client_auth_ = false;
};

}  // namespace

absl::Status LintLeafTbs(absl::string_view tbs) { return Linter(tbs).Run(); }

}  // namespace meshca
