#include "ca/authority/authority_maker.h"

#include <optional>
#include <utility>

#include "ca/authority/authority_rows.h"
#include "ca/authority/cross_certificate.h"
#include "ca/base/status.h"
#include "ca/x509/authority_builder.h"

namespace meshca {

absl::StatusOr<Certificate> AuthorityMaker::MakeRootCertificate(const NewKey& key, absl::Time now) const {
  return BuildRoot(options_.trust_domain, key.key(), now, options_.root_lifetime, entropy_);
}

absl::StatusOr<NewRoot> AuthorityMaker::MakeNewRoot(const NewKey& key, const AuthoritiesAndBundle& state,
                                                    absl::Time now) const {
  MESHCA_ASSIGN_OR_RETURN(const Certificate certificate, MakeRootCertificate(key, now));
  NewRoot made;
  made.root =
      MakeRow(AuthorityRole::kRoot, AuthorityState::kPrepared, certificate, {}, certificate.spki_sha256_hex(), now);
  MESHCA_RETURN_IF_ERROR(CrossCertify(state, now, made));
  MESHCA_RETURN_IF_ERROR(PutKey(key, made.root));
  return made;
}

absl::Status AuthorityMaker::CrossCertify(const AuthoritiesAndBundle& state, absl::Time now, NewRoot& root) const {
  const StoredAuthority* old = FindActive(state, AuthorityRole::kRoot);
  if (old == nullptr || old->key_reference.empty()) return absl::OkStatus();
  MESHCA_ASSIGN_OR_RETURN(const SigningAuthority signer, ToAuthority(*old));
  // What an authority that has ended certifies leads nobody anywhere.
  if (!signer.certificate.validity().Contains(now)) return absl::OkStatus();
  MESHCA_ASSIGN_OR_RETURN(const SigningAuthority subject, ToAuthority(root.root));
  const auto key = OpenKey(keys_, *old);
  // A plugged-in root's key file may hold the new set's by now: that it is away is no fault.
  if (!key.ok()) return absl::OkStatus();
  // The chain would be: leaf, issuing authority, what stands above that one up to the new root, the cross-certificate.
  const size_t above = root.issuing.has_value() ? root.issuing->chain_der.size() - 1 : 0;
  const std::optional<int> room = signer.certificate.path_len();
  if (room.has_value() && static_cast<size_t>(*room) < above + 2) return absl::OkStatus();
  const auto cross =
      BuildCrossCertificate(options_.trust_domain, subject.certificate, signer.certificate, **key, now, entropy_);
  if (absl::IsFailedPrecondition(cross.status())) return absl::OkStatus();
  MESHCA_RETURN_IF_ERROR(cross.status());
  root.root.chain_der.push_back(cross->der().bytes());
  if (root.issuing.has_value()) root.issuing->chain_der.push_back(cross->der().bytes());
  return absl::OkStatus();
}

absl::StatusOr<Certificate> AuthorityMaker::CertifyIssuing(const PublicKey& key, const StoredAuthority& root,
                                                           absl::Time now, absl::Duration lifetime) const {
  MESHCA_ASSIGN_OR_RETURN(const SigningAuthority parent, ToAuthority(root));
  MESHCA_ASSIGN_OR_RETURN(const std::shared_ptr<const SigningKey> root_key, OpenKey(keys_, root));
  absl::StatusOr<Certificate> certificate =
      BuildIssuing(options_.trust_domain, key, parent.certificate, *root_key, now, lifetime, entropy_);
  if (!certificate.ok()) return Annotate(certificate.status(), "new issuing authority");
  return certificate;
}

absl::StatusOr<StoredAuthority> AuthorityMaker::MakeIssuing(const NewKey& key, const AuthoritiesAndBundle& state,
                                                            const StoredAuthority& root, absl::Time now) const {
  MESHCA_ASSIGN_OR_RETURN(const Certificate certificate,
                          CertifyIssuing(key.public_key(), root, now, options_.issuing_lifetime));
  StoredAuthority row = MakeRow(AuthorityRole::kIssuing, AuthorityState::kActive, certificate, {}, root.id, now);
  for (std::string& der : UpstreamOfSuccessor(state, root)) row.chain_der.push_back(std::move(der));
  MESHCA_RETURN_IF_ERROR(PutKey(key, row));
  return row;
}

}  // namespace meshca
