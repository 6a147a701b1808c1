#include "ca/x509/certificate.h"

#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/x509/certificate_reader.h"
#include "ca/x509/digest.h"

namespace meshca {
namespace {

// Chains with large RSA keys and policies stay far below; a peer may not make us hold more.
constexpr size_t kCertificateBytesMax = 64 * 1024;

absl::Status Malformed(absl::string_view what) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat("certificate: ", what)), "CERTIFICATE_MALFORMED");
}

// By whatever algorithm the certificate names, SHA-1 included.
bool SelfSignatureFits(const Der& der, const PublicKey& key) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.bytes().data());
  const X509Ptr x509(d2i_X509(nullptr, &at, static_cast<long>(der.bytes().size())));
  if (x509 != nullptr && X509_verify(x509.get(), key.evp()) == 1) return true;
  OpenSslError("X509_verify").IgnoreError();
  return false;
}

}  // namespace

struct Certificate::Rep {
  Der der;
  CertificateParts parts;  // its views point into `der`
  PublicKey key;
  std::string sha256;
  mutable std::once_flag pem_once;
  mutable Pem pem;  // made when first asked for
};

Certificate::Certificate(std::shared_ptr<const Rep> rep) : rep_(std::move(rep)) {}

absl::StatusOr<Certificate> Certificate::Parse(const Der& der) {
  if (der.bytes().size() > kCertificateBytesMax) return Malformed("more than 64 KiB");
  auto rep = std::make_shared<Rep>();
  rep->der = der;
  MESHCA_ASSIGN_OR_RETURN(rep->parts, ReadCertificate(rep->der.bytes()));
  absl::StatusOr<PublicKey> key = PublicKey::OfCertificate(rep->parts.spki);
  if (!key.ok()) return Annotate(key.status(), "certificate");
  rep->key = *std::move(key);
  rep->sha256 = Sha256(rep->der.bytes());
  return Certificate(std::move(rep));
}

absl::StatusOr<Certificate> Certificate::Parse(const Pem& pem) {
  MESHCA_ASSIGN_OR_RETURN(std::vector<Certificate> all, ParseAll(pem));
  if (all.size() != 1) return Malformed(absl::StrCat(all.size(), " PEM blocks instead of one"));
  return std::move(all.front());
}

absl::StatusOr<std::vector<Certificate>> Certificate::ParseAll(const Pem& pem) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<Der> blocks, PemDecodeAll(pem.text(), kPemCertificate));
  std::vector<Certificate> all;
  all.reserve(blocks.size());
  for (const Der& der : blocks) {
    absl::StatusOr<Certificate> one = Parse(der);
    if (!one.ok()) return Annotate(one.status(), absl::StrCat("PEM block ", all.size() + 1));
    all.push_back(*std::move(one));
  }
  return all;
}

const Der& Certificate::der() const { return rep_->der; }
const CertificateFields& Certificate::fields() const { return rep_->parts.fields; }
const PublicKey& Certificate::public_key() const { return rep_->key; }
const std::string& Certificate::sha256() const { return rep_->sha256; }
absl::string_view Certificate::tbs() const { return rep_->parts.tbs; }
absl::string_view Certificate::signature_algorithm() const { return rep_->parts.signature_algorithm; }
absl::string_view Certificate::signature() const { return rep_->parts.signature; }

const Pem& Certificate::pem() const {
  std::call_once(rep_->pem_once, [this] { rep_->pem = PemEncode(kPemCertificate, rep_->der); });
  return rep_->pem;
}

std::optional<SerialNumber> Certificate::serial() const {
  absl::StatusOr<SerialNumber> own = SerialNumber::FromHex(serial_hex());
  return own.ok() ? std::optional<SerialNumber>(*own) : std::nullopt;
}

std::string Certificate::subject() const { return NameText(fields().subject_der); }
std::string Certificate::issuer() const { return NameText(fields().issuer_der); }

absl::StatusOr<SpiffeId> Certificate::spiffe_id() const { return OneSpiffeId(fields()); }

bool Certificate::IsSelfSigned() const {
  if (fields().subject_der != fields().issuer_der) return false;
  if (public_key().AcceptsAlgorithm(signature_algorithm()).ok()) {
    return public_key().Verify(signature_algorithm(), tbs(), signature()).ok();
  }
  return SelfSignatureFits(der(), public_key());
}

absl::Status Certificate::VerifiesUnder(const Certificate& issuer) const {
  if (fields().issuer_der != issuer.fields().subject_der) {
    return absl::InvalidArgumentError(
        absl::StrCat("certificate: its issuer is \"", this->issuer(), "\", not \"", issuer.subject(), "\""));
  }
  const std::string& wanted = fields().authority_key_id;
  const std::string& found = issuer.fields().subject_key_id;
  if (!wanted.empty() && !found.empty() && wanted != found) {
    return absl::InvalidArgumentError(absl::StrCat("certificate: its authorityKeyIdentifier is ", HexLower(wanted),
                                                   ", its issuer's subjectKeyIdentifier ", HexLower(found)));
  }
  const absl::Status signed_by = issuer.public_key().Verify(signature_algorithm(), tbs(), signature());
  return signed_by.ok() ? signed_by : Annotate(signed_by, "certificate");
}

bool operator==(const Certificate& a, const Certificate& b) {
  if (a.rep_ == b.rep_) return true;
  return !a.empty() && !b.empty() && a.der() == b.der();
}

}  // namespace meshca
