// Reads and validates a CA that was made elsewhere: plugged in as a folder of files, or imported.
#ifndef MESHCA_CA_AUTHORITY_PLUGGED_IN_CA_H_
#define MESHCA_CA_AUTHORITY_PLUGGED_IN_CA_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_source.h"
#include "ca/authority/set_files.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/signing_key.h"

namespace meshca {

// A set of files in one of two layouts:
//
//              istio's cacerts    cert-manager's
//   issuing    ca-cert.pem        tls.crt (first certificate)
//   key        ca-key.pem         tls.key
//   chain      cert-chain.pem     tls.crt (the others)     issuing and root may stand in it or not, in any order
//   roots      root-cert.pem      ca.crt                   one or more; all are trusted
//
// Symbolic links are followed (the kubelet's ..data layout). In istio's own `istio-ca-secret` ca-cert.pem is the
// self-signed root itself, and cert-chain.pem and root-cert.pem are empty: then the key is the root's, and meshca makes
// its issuing authority below it.
//
// The whole set is validated as of `now`. InvalidArgument (reason PLUGGED_IN_CA_INVALID), "<path>: <fault>", for:
//   no layout, or both; a file missing, empty, larger than 1 MiB; bytes that are no PEM; a block of another kind
//   a key that is encrypted, weak, of an unsupported kind, or not the certificate's
//   a certificate that is no CA, lacks keyCertSign, is not valid at `now`, has an unknown critical extension, carries
//     another trust domain's SPIFFE ID, has nameConstraints, has an extendedKeyUsage without serverAuth and clientAuth,
//     or whose pathLenConstraint does not leave room for what is below it
//   a chain that does not lead to a root of the roots file, or holds a certificate that is not part of the way there
//   a root that is not self-signed
//   a certificate signed by the key, for a trial, that our own verifier or OpenSSL would refuse (signing_trial.h)
// PermissionDenied: others can read the key file (the message has the chmod command).
//
// These are no faults: a certificate that stands in a file twice; an old and a renewed certificate of one authority, in
// any order (the valid one is used, and of two valid ones the one that ends last); other roots in any order (those that
// have ended are left out). A root may be signed with SHA-1 and may have serial number 0, because it is a trust anchor
// and not a statement; its key may be P-521 unless it is the key that is plugged in.
absl::StatusOr<AuthoritySet> LoadPluggedInSet(const TrustDomain& domain, const SetFiles& files, absl::Time now);

// The names of all files that a set may have, in both layouts.
const std::vector<std::string>& SetFileNames();

// Reads only the key file of `folder`, in either layout. Errors as above.
absl::StatusOr<std::shared_ptr<const SigningKey>> LoadPluggedInKey(const std::string& folder);

// A folder as an AuthoritySource; changes are noticed by the content of its files.
class PluggedInSource final : public AuthoritySource {
 public:
  PluggedInSource(TrustDomain domain, std::string folder) : domain_(std::move(domain)), folder_(std::move(folder)) {}
  absl::StatusOr<AuthoritySet> Load(absl::Time now) override {
    return LoadPluggedInSet(domain_, SetFiles(folder_), now);
  }
  // SHA-256 over every file of the set. A file that cannot be read changes it too, so that repairing it is noticed.
  absl::StatusOr<std::string> Fingerprint() override;

 private:
  const TrustDomain domain_;
  const std::string folder_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_PLUGGED_IN_CA_H_
