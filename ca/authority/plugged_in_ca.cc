#include "ca/authority/plugged_in_ca.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "ca/authority/signing_trial.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/x509/digest.h"

namespace meshca {
namespace {

constexpr size_t kCertificateFileBytesMax = 1024 * 1024;
constexpr size_t kKeyBytesMax = 64 * 1024;
constexpr size_t kCertificatesMax = 64;

struct Layout {
  const char* certificate;
  const char* key;
  const char* chain;  // null: the chain follows in the certificate's file
  const char* roots;
};
constexpr Layout kIstio = {"ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"};
constexpr Layout kCertManager = {"tls.crt", "tls.key", nullptr, "ca.crt"};

// Every fault of the set in one shape: "<path>: <fault>".
absl::Status Fault(const std::string& path, absl::string_view fault) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat(path, ": ", fault)), "PLUGGED_IN_CA_INVALID");
}

absl::StatusOr<Layout> FindLayout(const SetFiles& files) {
  const std::string& folder = files.place();
  const bool istio = files.Has(kIstio.certificate);
  const bool cert_manager = files.Has(kCertManager.certificate);
  if (istio && cert_manager) {
    return Fault(folder, "holds both ca-cert.pem and tls.crt: keep one layout, istio's or cert-manager's");
  }
  if (istio) return kIstio;
  if (cert_manager) return kCertManager;
  return Fault(folder,
               "holds no CA: expected ca-cert.pem, ca-key.pem, cert-chain.pem, root-cert.pem (istio's cacerts) or "
               "tls.crt, tls.key, ca.crt (cert-manager's)");
}

// The text of one file; a missing one is a fault of the set, like any other.
absl::StatusOr<std::string> ReadText(const SetFiles& files, const char* name) {
  const std::string path = files.PathOf(name);
  auto text = files.Read(name, kCertificateFileBytesMax, FileSecrecy::kPublic);
  if (!text.ok()) {
    return absl::IsNotFound(text.status()) ? Fault(path, "is missing")
                                           : WithReason(text.status(), "PLUGGED_IN_CA_INVALID");
  }
  if (text->find('\0') != std::string::npos) return Fault(path, "holds NUL bytes: PEM text is expected, not DER");
  return text;
}

bool Blank(absl::string_view text) { return absl::StripAsciiWhitespace(text).empty(); }

absl::StatusOr<std::vector<Certificate>> ParseCertificates(const std::string& path, const std::string& text) {
  if (Blank(text)) return Fault(path, "is empty");
  auto certificates = Certificate::ParseAll(Pem(text));
  if (!certificates.ok()) return Fault(path, certificates.status().message());
  if (certificates->size() > kCertificatesMax) {
    return Fault(path,
                 absl::StrCat(certificates->size(), " certificates, and at most ", kCertificatesMax, " are read"));
  }
  return certificates;
}

std::string Label(const Certificate& certificate) {
  return absl::StrCat("certificate \"", certificate.subject(), "\" (serial ", certificate.serial_hex(), ")");
}

// A certificate with the file it came from, so that its fault names both.
struct Placed {
  std::string path;
  Certificate certificate;
};

absl::Status CheckDates(const Placed& placed, absl::Time now) {
  const Validity& validity = placed.certificate.validity();
  if (now < validity.not_before) {
    return Fault(placed.path,
                 absl::StrCat(Label(placed.certificate), ": not valid before ", Rfc3339Text(validity.not_before)));
  }
  if (!validity.Contains(now)) {
    return Fault(placed.path, absl::StrCat(Label(placed.certificate), ": expired ", Rfc3339Text(validity.not_after)));
  }
  return absl::OkStatus();
}

// May `placed` stand `authorities_below` authorities above the leaf? RFC 5280 §4.2.1.9, §4.2.1.3; X509-SVID §4.
absl::Status CheckAuthority(const Placed& placed, int authorities_below, const TrustDomain& domain, absl::Time now) {
  const CertificateFields& fields = placed.certificate.fields();
  auto fault = [&](absl::string_view what) {
    return Fault(placed.path, absl::StrCat(Label(placed.certificate), ": ", what));
  };
  if (!fields.is_ca) return fault("is not a CA: basicConstraints lacks CA:TRUE");
  // A root without keyUsage is common (openssl's defaults) and signs all the same; below it, X509-SVID asks for it.
  bool root = placed.certificate.IsSelfSigned();
  if (fields.key_usage.has_value() ? (*fields.key_usage & kKeyCertSign) == 0 : !root) {
    return fault("may not sign certificates: keyUsage lacks keyCertSign");
  }
  if (fields.path_len.has_value() && *fields.path_len < authorities_below) {
    return fault(absl::StrCat("pathLenConstraint ", *fields.path_len, " leaves no room for the ", authorities_below,
                              " authorities below it"));
  }
  if (!fields.unknown_critical.empty()) {
    return fault(absl::StrCat("has the unknown critical extension ", fields.unknown_critical));
  }
  // Verifiers read name constraints on URIs in different ways or not at all (ours refuses them), so what such an
  // authority signs is good for some peers and not for others.
  if (fields.has_name_constraints) {
    return fault(
        "has nameConstraints, under which meshca's peers would refuse what it signs: ask for a certificate without "
        "them");
  }
  // An extendedKeyUsage of an authority bounds what every certificate below it may be for (RFC 5280 does not say so,
  // and OpenSSL, BoringSSL, Go and we all judge so).
  if (fields.has_extended_key_usage && !(fields.server_auth && fields.client_auth)) {
    return fault(absl::StrCat("its extendedKeyUsage lacks ",
                              fields.server_auth   ? "clientAuth"
                              : fields.client_auth ? "serverAuth"
                                                   : "serverAuth and clientAuth",
                              ", and a workload's certificate is for both: ask for a certificate with both, or without "
                              "extendedKeyUsage"));
  }
  for (const std::string& uri : fields.uri_names) {
    auto id = SpiffeId::Parse(uri);
    if (id.ok() && !id->MemberOf(domain)) {
      return fault(absl::StrCat("belongs to ", uri, ", and this server to the trust domain ", domain.name()));
    }
  }
  return CheckDates(placed, now);
}

// `certificates` with each once, in order: the published steps of istio's root rotation (A, A+B, A+B+B, B) write a root
// twice, and cat'ing files together does too.
std::vector<Certificate> EachOnce(const std::vector<Certificate>& certificates) {
  std::vector<Certificate> once;
  for (const Certificate& certificate : certificates) {
    if (std::find(once.begin(), once.end(), certificate) == once.end()) once.push_back(certificate);
  }
  return once;
}

// Two certificates of one authority: the one before its renewal and the one after it.
bool SameAuthority(const Certificate& a, const Certificate& b) {
  return a.fields().subject_der == b.fields().subject_der && a.public_key() == b.public_key();
}

// Of several certificates of one authority the one to use: valid now before one that is not, then the one that ends
// last. The order of a file says nothing.
bool IsBetter(const Certificate& a, const Certificate& b, absl::Time now) {
  if (a.validity().Contains(now) != b.validity().Contains(now)) return a.validity().Contains(now);
  if (a.validity().not_after != b.validity().not_after) return a.validity().not_after > b.validity().not_after;
  return a.der().bytes() < b.der().bytes();  // the same one each time
}

// The best of those in `candidates` that `fits`; null: none.
template <typename Fits>
const Certificate* FindBest(const std::vector<Certificate>& candidates, absl::Time now, Fits fits) {
  const Certificate* best = nullptr;
  for (const Certificate& candidate : candidates) {
    if (fits(candidate) && (best == nullptr || IsBetter(candidate, *best, now))) best = &candidate;
  }
  return best;
}

struct Files {
  Layout layout;
  bool has_roots = false;
  std::string certificate_path, key_path, chain_path, roots_path;
  std::string certificate_text, chain_text, roots_text;
};

absl::StatusOr<Files> ReadFiles(const SetFiles& set_files) {
  Files files;
  MESHCA_ASSIGN_OR_RETURN(files.layout, FindLayout(set_files));
  const Layout& layout = files.layout;
  files.certificate_path = set_files.PathOf(layout.certificate);
  files.key_path = set_files.PathOf(layout.key);
  files.roots_path = set_files.PathOf(layout.roots);
  files.chain_path = layout.chain != nullptr ? set_files.PathOf(layout.chain) : files.certificate_path;
  MESHCA_ASSIGN_OR_RETURN(files.certificate_text, ReadText(set_files, layout.certificate));
  // istio-ca-secret has these two empty or not at all; what is needed of them shows below.
  if (layout.chain != nullptr && set_files.Has(layout.chain)) {
    MESHCA_ASSIGN_OR_RETURN(files.chain_text, ReadText(set_files, layout.chain));
  }
  files.has_roots = set_files.Has(layout.roots);
  if (files.has_roots) {
    MESHCA_ASSIGN_OR_RETURN(files.roots_text, ReadText(set_files, layout.roots));
  }
  return files;
}

// The private key beside `certificate`, checked to be its own.
absl::StatusOr<std::unique_ptr<SoftwareKey>> ReadKey(const SetFiles& files, const char* name) {
  const std::string path = files.PathOf(name);
  auto text = files.Read(name, kKeyBytesMax, FileSecrecy::kSecret);
  if (!text.ok()) {
    return absl::IsNotFound(text.status()) ? Fault(path, "is missing")
                                           : WithReason(text.status(), "PLUGGED_IN_CA_INVALID");
  }
  SecretBytes pem(*std::move(text));
  if (Blank(pem.reveal())) return Fault(path, "is empty");
  auto key = SoftwareKey::FromPem(pem.reveal());
  if (!key.ok()) return Fault(path, key.status().message());
  return key;
}

// Takes out of `between` every certificate of `authority`: the one that is used and what it was before its renewal.
void TakeOut(const Certificate& authority, std::vector<Certificate>& between) {
  std::erase_if(between, [&](const Certificate& each) { return SameAuthority(each, authority); });
}

// The way from the issuing certificate to a root; takes the certificates it uses out of `between`.
absl::Status FindWay(const Placed& issuing, const std::string& roots_path, const std::vector<Certificate>& roots,
                     absl::Time now, std::vector<Certificate>& between, AuthoritySet& set) {
  Certificate last = issuing.certificate;
  TakeOut(last, between);
  for (;;) {
    const auto signed_last = [&](const Certificate& candidate) { return last.VerifiesUnder(candidate).ok(); };
    if (const Certificate* root = FindBest(roots, now, signed_last); root != nullptr) {
      set.root = *root;
      TakeOut(set.root, between);
      return absl::OkStatus();
    }
    const Certificate* next = FindBest(between, now, signed_last);
    if (next == nullptr) {
      return Fault(roots_path, absl::StrCat("no certificate here signed ", Label(last), ", whose issuer is \"",
                                            last.issuer(), "\": the chain leads to no root"));
    }
    last = *next;
    set.upstream.push_back(last);
    TakeOut(last, between);
  }
}

// What stands between the issuing certificate and the roots, both of which may be repeated there.
absl::StatusOr<std::vector<Certificate>> Between(const Files& files, const std::vector<Certificate>& leading,
                                                 const std::vector<Certificate>& roots) {
  std::vector<Certificate> chain(leading.begin() + 1, leading.end());
  if (!Blank(files.chain_text)) {
    MESHCA_ASSIGN_OR_RETURN(chain, ParseCertificates(files.chain_path, files.chain_text));
  }
  chain = EachOnce(chain);
  std::erase_if(chain, [&](const Certificate& certificate) {
    return certificate == leading.front() || std::find(roots.begin(), roots.end(), certificate) != roots.end();
  });
  return chain;
}

absl::Status CheckWay(const Files& files, const AuthoritySet& set, const TrustDomain& domain, absl::Time now) {
  int below = 0;
  if (set.issuing.has_value()) {
    MESHCA_RETURN_IF_ERROR(CheckAuthority({files.certificate_path, *set.issuing}, below++, domain, now));
  } else {
    ++below;  // The issuing authority that meshca makes under it.
  }
  for (const Certificate& certificate : set.upstream) {
    MESHCA_RETURN_IF_ERROR(CheckAuthority({files.chain_path, certificate}, below++, domain, now));
  }
  return CheckAuthority({set.issuing.has_value() ? files.roots_path : files.certificate_path, set.root}, below, domain,
                        now);
}

// The roots file, or for istio-ca-secret the self-signed certificate itself.
absl::StatusOr<std::vector<Certificate>> ReadRoots(const Files& files, const Certificate& certificate) {
  if (Blank(files.roots_text)) {
    if (files.layout.certificate == kIstio.certificate && certificate.IsSelfSigned()) {
      return std::vector<Certificate>{certificate};
    }
    return Fault(files.roots_path, files.has_roots ? "is empty" : "is missing");
  }
  MESHCA_ASSIGN_OR_RETURN(std::vector<Certificate> roots, ParseCertificates(files.roots_path, files.roots_text));
  roots = EachOnce(roots);
  for (const Certificate& root : roots) {
    if (!root.IsSelfSigned()) {
      return Fault(files.roots_path, absl::StrCat(Label(root), ": is not self-signed, so it is not a root"));
    }
    if (!root.is_ca()) {
      return Fault(files.roots_path, absl::StrCat(Label(root), ": is not a CA: basicConstraints lacks CA:TRUE"));
    }
  }
  return roots;
}

absl::StatusOr<AuthoritySet> Assemble(const Files& files, const TrustDomain& domain, absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(std::vector<Certificate> leading,
                          ParseCertificates(files.certificate_path, files.certificate_text));
  leading = EachOnce(leading);
  if (files.layout.chain != nullptr && leading.size() != 1) {
    return Fault(files.certificate_path, absl::StrCat("holds ", leading.size(),
                                                      " certificates: one belongs here, the others in cert-chain.pem"));
  }
  MESHCA_ASSIGN_OR_RETURN(std::vector<Certificate> roots, ReadRoots(files, leading.front()));
  MESHCA_ASSIGN_OR_RETURN(std::vector<Certificate> between, Between(files, leading, roots));
  AuthoritySet set;
  // The key is a root's where that root stands among the roots, perhaps as it was before its renewal or is after it.
  std::vector<Certificate> offered = roots;
  if (leading.front().IsSelfSigned()) offered.push_back(leading.front());
  const Certificate* keyed_root =
      FindBest(offered, now, [&](const Certificate& candidate) { return SameAuthority(candidate, leading.front()); });
  const bool listed = std::any_of(roots.begin(), roots.end(),
                                  [&](const Certificate& root) { return SameAuthority(root, leading.front()); });
  if (keyed_root != nullptr && listed) {
    set.root = *keyed_root;
    TakeOut(set.root, between);
  } else {
    set.issuing = leading.front();
    MESHCA_RETURN_IF_ERROR(
        FindWay({files.certificate_path, leading.front()}, files.roots_path, roots, now, between, set));
  }
  if (!between.empty()) {
    return Fault(files.chain_path,
                 absl::StrCat(Label(between.front()), ": is not on the way from the issuing certificate to the root"));
  }
  MESHCA_RETURN_IF_ERROR(CheckWay(files, set, domain, now));
  for (const Certificate& root : roots) {
    // A root that has ended helps nobody; it must not keep the rest from being used either.
    if (root == set.root || now > root.validity().not_after) continue;
    set.more_roots.push_back(root);
  }
  return set;
}

}  // namespace

absl::StatusOr<AuthoritySet> LoadPluggedInSet(const TrustDomain& domain, const SetFiles& set_files, absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(const Files files, ReadFiles(set_files));
  MESHCA_ASSIGN_OR_RETURN(AuthoritySet set, Assemble(files, domain, now));
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<SoftwareKey> key, ReadKey(set_files, files.layout.key));
  if (!(key->public_key() == set.keyed().public_key())) {
    return Fault(files.key_path,
                 absl::StrCat("is not the key of ", files.layout.certificate, ": that one's fingerprint is ",
                              set.keyed().spki_sha256_hex(), ", this one's ", key->public_key().sha256_hex()));
  }
  if (const absl::Status tried = TrySigning(set, *key, domain, now); !tried.ok()) {
    return Fault(files.certificate_path, absl::StrCat(Label(set.keyed()), ": ", tried.message()));
  }
  set.key_pkcs8 = key->ToPkcs8Der();
  set.key_reference = set_files.KeyReference();
  return set;
}

const std::vector<std::string>& SetFileNames() {
  static const auto* const names = [] {
    auto* const all = new std::vector<std::string>;
    for (const Layout& layout : {kIstio, kCertManager}) {
      for (const char* name : {layout.certificate, layout.key, layout.chain, layout.roots}) {
        if (name != nullptr) all->emplace_back(name);
      }
    }
    return all;
  }();
  return *names;
}

absl::StatusOr<std::shared_ptr<const SigningKey>> LoadPluggedInKey(const std::string& folder) {
  const SetFiles files(folder);
  MESHCA_ASSIGN_OR_RETURN(const Layout layout, FindLayout(files));
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<SoftwareKey> key, ReadKey(files, layout.key));
  return std::shared_ptr<const SigningKey>(std::move(key));
}

absl::StatusOr<std::string> PluggedInSource::Fingerprint() {
  const SetFiles files(folder_);
  std::string all;
  for (const Layout& layout : {kIstio, kCertManager}) {
    for (const char* name : {layout.certificate, layout.key, layout.chain, layout.roots}) {
      if (name == nullptr) continue;
      const bool key = name == layout.key;
      auto bytes = files.Read(name, key ? kKeyBytesMax : kCertificateFileBytesMax,
                              key ? FileSecrecy::kSecret : FileSecrecy::kPublic);
      absl::StrAppend(&all, name, ":",
                      bytes.ok() ? Sha256(*bytes) : absl::StrCat("!", CodeName(bytes.status().code())));
      if (bytes.ok() && key) Wipe(*bytes);
    }
  }
  return Sha256(all);
}

}  // namespace meshca
