#include "ca/authority/signing_trial.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/entropy.h"
#include "ca/base/status.h"
#include "ca/x509/authority_builder.h"
#include "ca/x509/chain_verifier.h"
#include "ca/x509/leaf_template.h"
#include "ca/x509/openssl_path.h"
#include "ca/x509/serial_number.h"

namespace meshca {
namespace {

constexpr absl::Duration kLifetime = absl::Hours(1);

struct Issuer {
  const SigningKey* key = nullptr;
  std::unique_ptr<SoftwareKey> made;  // where meshca makes the issuing authority itself
  std::vector<Certificate> tail;      // what stands above the leaf in its chain, the root left out
};

absl::StatusOr<Issuer> MakeIssuer(const AuthoritySet& set, const SigningKey& key, const TrustDomain& domain,
                                  absl::Time now) {
  Issuer issuer;
  if (set.issuing.has_value()) {
    issuer.key = &key;
    issuer.tail.push_back(*set.issuing);
    issuer.tail.insert(issuer.tail.end(), set.upstream.begin(), set.upstream.end());
    return issuer;
  }
  MESHCA_ASSIGN_OR_RETURN(issuer.made, SoftwareKey::Generate(KeyType::kEcP256));
  MESHCA_ASSIGN_OR_RETURN(Certificate issuing, BuildIssuing(domain, issuer.made->public_key(), set.root, key, now,
                                                            kLifetime, SystemEntropy()));
  issuer.key = issuer.made.get();
  issuer.tail.push_back(std::move(issuing));
  return issuer;
}

absl::StatusOr<Certificate> MakeLeaf(const Issuer& issuer, const Certificate& root, const TrustDomain& domain,
                                     absl::Time now) {
  LeafFields fields;
  fields.serial = SerialNumber::Make(now, SystemEntropy());
  absl::Time end = std::min(now + kLifetime, root.validity().not_after);
  for (const Certificate& authority : issuer.tail) end = std::min(end, authority.validity().not_after);
  MESHCA_ASSIGN_OR_RETURN(fields.validity, Validity::Make(issuer.tail.front().validity().not_before, end));
  MESHCA_ASSIGN_OR_RETURN(fields.spiffe_id, SpiffeId::Parse(absl::StrCat(domain.Id(), "/meshca/trial")));
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<SoftwareKey> holder, SoftwareKey::Generate(KeyType::kEcP256));
  fields.public_key = holder->public_key();
  MESHCA_ASSIGN_OR_RETURN(const LeafTemplate form,
                          LeafTemplate::Make(issuer.tail.front(), issuer.key->signature_algorithm()));
  const std::string tbs = form.BuildTbs(fields);
  MESHCA_ASSIGN_OR_RETURN(const std::string signature, issuer.key->Sign(tbs));
  return Certificate::Parse(form.Assemble(tbs, signature));
}

}  // namespace

absl::Status TrySigning(const AuthoritySet& set, const SigningKey& key, const TrustDomain& domain, absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(const Issuer issuer, MakeIssuer(set, key, domain, now));
  MESHCA_ASSIGN_OR_RETURN(Certificate leaf, MakeLeaf(issuer, set.root, domain, now));
  std::vector<Certificate> chain = {std::move(leaf)};
  chain.insert(chain.end(), issuer.tail.begin(), issuer.tail.end());
  std::vector<absl::string_view> presented;
  presented.reserve(chain.size());
  for (const Certificate& certificate : chain) presented.push_back(certificate.der().bytes());
  const ChainVerifier verifier(domain, {set.root});
  for (const PeerRole role : {PeerRole::kServer, PeerRole::kClient}) {
    const auto refused = [role](absl::string_view by, const absl::Status& why) {
      return absl::InvalidArgumentError(absl::StrCat("what it signs would be refused as a ",
                                                     role == PeerRole::kServer ? "server" : "client",
                                                     "'s certificate by ", by, ": ", why.message()));
    };
    if (const absl::Status own = verifier.Verify(presented, now, role).status(); !own.ok()) {
      return refused("meshca", own);
    }
    if (const absl::Status other = VerifyByOpenSsl(chain, set.root, now, role); !other.ok()) {
      return refused("OpenSSL", other);
    }
  }
  return absl::OkStatus();
}

}  // namespace meshca
