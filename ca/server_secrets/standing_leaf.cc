#include "ca/server_secrets/standing_leaf.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/x509/chain_verifier.h"

namespace meshca {
namespace {

const SigningAuthority* FindAuthority(const AuthoritySnapshot& authorities, const std::string& id) {
  if (authorities.issuing != nullptr && authorities.issuing->id == id) return authorities.issuing.get();
  for (const SigningAuthority& one : authorities.authorities) {
    if (one.id == id) return &one;
  }
  return nullptr;
}

absl::Status VerifyPath(const StandingLeaf& leaf, const TrustBundle& bundle, absl::Time now) {
  std::vector<absl::string_view> chain = {leaf.leaf.der().bytes()};
  for (const Certificate& issuer : leaf.issuers) chain.push_back(issuer.der().bytes());
  return ChainVerifier(bundle.trust_domain, bundle.roots).Verify(chain, now, PeerRole::kServer).status();
}

bool IsFor(const Certificate& leaf, const ServerNames& names) {
  const absl::StatusOr<SpiffeId> id = leaf.spiffe_id();
  if (!id.ok() || *id != names.spiffe_id) return false;
  std::vector<std::string> dns_names = leaf.fields().dns_names;
  std::sort(dns_names.begin(), dns_names.end());
  return dns_names == names.dns_names;
}

}  // namespace

SecretContent StandingLeaf::ContentWith(std::string roots_pem) const {
  return {chain_pem, key_pem.Clone(), std::move(roots_pem)};
}

absl::StatusOr<StandingLeaf> ReadStandingLeaf(const SecretContent& content, const AuthoritySnapshot& authorities) {
  StandingLeaf leaf;
  MESHCA_ASSIGN_OR_RETURN(const std::vector<Certificate> chain, Certificate::ParseAll(Pem(content.chain_pem)));
  leaf.leaf = chain.front();
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<SoftwareKey> key, SoftwareKey::FromPem(content.key_pem.reveal()));
  if (key->public_key().spki() != leaf.leaf.public_key().spki()) {
    return absl::InvalidArgumentError("its key is not that of its certificate");
  }
  if (chain.size() < 2) return absl::InvalidArgumentError("its chain ends with the leaf");
  leaf.authority_id = chain[1].spki_sha256_hex();
  const SigningAuthority* const signer = FindAuthority(authorities, leaf.authority_id);
  if (signer == nullptr) return absl::InvalidArgumentError("none of this CA's authorities signed it");
  leaf.root_id = signer->root_id;
  // What else somebody has put beside them would be published by us from now on: his own CA behind the chain, a
  // certificate of his CA for the key of ours, text.
  leaf.issuers = {signer->certificate};
  leaf.issuers.insert(leaf.issuers.end(), signer->upstream.begin(), signer->upstream.end());
  leaf.chain_pem = leaf.leaf.pem().text();
  for (const Certificate& issuer : leaf.issuers) leaf.chain_pem += issuer.pem().text();
  leaf.key_pem = key->ToPkcs8Pem();
  leaf.issued_at = leaf.leaf.validity().not_before;
  return leaf;
}

absl::StatusOr<StandingLeaf> MakeStandingLeaf(const IssuedCertificate& issued, const SoftwareKey& key,
                                              const ServerNames& names, absl::Time now) {
  StandingLeaf leaf;
  MESHCA_ASSIGN_OR_RETURN(leaf.leaf, issued.chain.ParseLeaf());
  leaf.issuers = issued.chain.issuers();
  leaf.chain_pem = issued.chain.ToPem();
  leaf.key_pem = key.ToPkcs8Pem();
  leaf.authority_id = issued.record->authority_id;
  const SigningAuthority* const signer = FindAuthority(*issued.authorities, leaf.authority_id);
  if (signer == nullptr) return absl::InternalError("its authority is not among those that sign");
  leaf.root_id = signer->root_id;
  leaf.issued_at = issued.record->issued_at;
  if (!IsFor(leaf.leaf, names)) return absl::InternalError("the certificate is not for the names that were asked for");
  MESHCA_RETURN_IF_ERROR(Annotate(VerifyPath(leaf, *issued.authorities->bundle, now), "the certificate made just now"));
  return leaf;
}

absl::Status CheckRecord(const absl::StatusOr<IssuanceRecord>& record, const std::string& instance,
                         StandingLeaf& leaf) {
  if (absl::IsNotFound(record.status())) return absl::FailedPreconditionError("it is not on record");
  if (!record.ok()) return record.status();
  if (record->certificate_sha256 != leaf.leaf.sha256() || record->origin.kind != OriginKind::kPublished ||
      record->instance != instance) {
    return absl::FailedPreconditionError("it is on record for somebody else");
  }
  if (record->revoked_at != absl::InfiniteFuture()) return absl::FailedPreconditionError("it was revoked");
  leaf.issued_at = record->issued_at;
  return absl::OkStatus();
}

std::string WhyReplace(const StandingLeaf& leaf, const ServerNames& names, const AuthoritySnapshot& authorities,
                       absl::Time now) {
  if (!IsFor(leaf.leaf, names)) return "it is for other names";
  if (now < leaf.leaf.validity().not_before) return "it is not valid yet";
  if (now >= leaf.RenewAt()) return "half of its life is over";
  const SigningAuthority* const signer = FindAuthority(authorities, leaf.authority_id);
  if (signer == nullptr) return "none of this CA's authorities signed it";
  if (signer->state == AuthorityState::kRetired) return "the authority that signed it is retired";
  // A tainted one goes on signing until its successor is active, and a new certificate would be of the same worth.
  if (signer->tainted && authorities.issuing != nullptr && authorities.issuing->id != signer->id) {
    return "the authority that signed it is tainted";
  }
  if (authorities.issuing != nullptr && authorities.issuing->root_id != leaf.root_id) {
    return "another root signs now";
  }
  if (const absl::Status path = VerifyPath(leaf, *authorities.bundle, now); !path.ok()) {
    return std::string(path.message());
  }
  return "";
}

}  // namespace meshca
