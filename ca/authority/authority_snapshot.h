// The authority that signs and the roots that are trusted at one moment, as one immutable value.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_SNAPSHOT_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_SNAPSHOT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/jwt_authority.h"
#include "ca/authority/root_rotation.h"
#include "ca/authority/signing_authority.h"
#include "ca/authority/trust_bundle.h"

namespace meshca {

// A renewal normally needs the CA's record of the old certificate. Records are missing after a restore from a backup,
// or after another CA's authority was adopted. Until `until`, certificates signed by one of `authority_ids` may be
// renewed without a record.
struct UnrecordedGrace {
  absl::Time until = absl::InfinitePast();
  // SigningAuthority::id of the authorities that signed the leaves themselves: issuing authorities, and a root only if
  // it signs leaves with its own key (istio's self-signed CA). The root above them is not listed, so leaves of other
  // authorities under it are not covered.
  std::vector<std::string> authority_ids;
  std::string why;  // for people: "restored from a backup", "import /etc/istio/cacerts"

  friend bool operator==(const UnrecordedGrace&, const UnrecordedGrace&) = default;
};

// Immutable, shared by every thread. Every change of the authorities makes a new snapshot; a reader goes on with the
// one that it took.
struct AuthoritySnapshot {
  // The store's revision that this was made from; only grows. Several snapshots may have the same revision, because
  // signing can stop and resume without a change in the store (see `issuing`).
  uint64_t revision = 0;

  // The issuing authority that signs, with its private key. Null: nothing can sign (issuance is Unavailable), because
  // the active authority has ended, its key is not available, or the clock cannot be signed by.
  std::shared_ptr<const SigningAuthority> issuing;
  std::shared_ptr<const TrustBundle> bundle;
  // Every authority known, retired ones included, without private keys.
  std::vector<SigningAuthority> authorities;
  // Every key of JWT-SVIDs known, retired ones included, the oldest first.
  std::vector<JwtAuthority> jwt_authorities;
  // The key that signs JWT-SVIDs. Null: none can be minted (Unavailable), and `why_no_jwt` says why, for people.
  std::shared_ptr<const JwtSigner> jwt_signer;
  std::string why_no_jwt;
  // The newest rotation of the root, ended or not.
  std::optional<RootRotation> rotation;
  // nullopt: every renewal needs the record of the old certificate.
  std::optional<UnrecordedGrace> unrecorded;

  // The certificates that follow the leaf in a chain: that of `issuing`, then its upstream. The same as PEM.
  std::vector<Certificate> chain_tail;
  std::vector<std::string> chain_tail_pem;
  // Every trusted root as PEM, the active one first: the last element of a CreateCertificate answer.
  std::string roots_pem;
};

// What signs: the opened keys. Nothing is there to sign certificates where `key` is null, and nothing to sign JWT-SVIDs
// where `jwt` is null; then `why_not` and `why_no_jwt` say why, for people.
struct Signers {
  std::string issuing_id;  // names the authority that `key` belongs to
  std::shared_ptr<const SigningKey> key;
  std::string why_not;
  std::shared_ptr<const JwtSigner> jwt;
  std::string why_no_jwt;
};

// Makes a snapshot of the stored `state`. A JWT key signs only if the bundle holds it. DataLoss: the rows contradict
// each other (the message names them): there is no bundle, two authorities of a role or two JWT keys are active, the
// active root is not the bundle's first, an issuing authority's root is not trusted, or the bundle holds a JWT key that
// is unknown or retired.
absl::StatusOr<std::shared_ptr<const AuthoritySnapshot>> BuildSnapshot(const TrustDomain& domain,
                                                                       const AuthoritiesAndBundle& state,
                                                                       const Signers& signers,
                                                                       std::optional<UnrecordedGrace> unrecorded = {});

// Gives the newest snapshot to whoever needs it. Thread-safe.
class AuthoritySnapshots {
 public:
  using Listener = std::function<void(const std::shared_ptr<const AuthoritySnapshot>&)>;
  virtual ~AuthoritySnapshots() = default;

  // Never null once the CA has started.
  virtual std::shared_ptr<const AuthoritySnapshot> Current() const = 0;

  // From now on calls `listener` with each new snapshot, on the thread that made the change, one at a time, in order of
  // revision. The listener may call Current() and must not change authorities. Listeners are added before the CA starts
  // and live as long as it does.
  virtual void AddListener(Listener listener) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_SNAPSHOT_H_
