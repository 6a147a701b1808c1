// What signs now and what is trusted now, in one immutable piece.
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
#include "ca/authority/root_rotation.h"
#include "ca/authority/signing_authority.h"
#include "ca/authority/trust_bundle.h"

namespace meshca {

// Certificates that this CA signed, or its predecessor did, and has no record of: after a restore from a backup, or the
// adoption of somebody else's authority. Until `until` those under `authority_ids` may be renewed without a record.
struct UnrecordedGrace {
  absl::Time until = absl::InfinitePast();
  // SigningAuthority::id of those that signed the certificates themselves: issuing authorities, and a root only where
  // it signs leaves with its own key (istio's self-signed CA). A root above them is not listed, so what other
  // authorities under it sign is not covered.
  std::vector<std::string> authority_ids;
  std::string why;  // "restored from a backup", "import /etc/istio/cacerts"

  friend bool operator==(const UnrecordedGrace&, const UnrecordedGrace&) = default;
};

// Immutable, shared by every thread. A change of any authority makes a new one; readers keep the one they took.
struct AuthoritySnapshot {
  // The store's revision this was made from; only grows. Signing may stop and resume within one (see `issuing`).
  uint64_t revision = 0;

  // The issuing authority that signs; its key is there. Null: nothing can sign (issuance is Unavailable), because it
  // has ended, its key is away, or the clock went backwards.
  std::shared_ptr<const SigningAuthority> issuing;
  std::shared_ptr<const TrustBundle> bundle;
  // Every authority known, retired ones included, without private keys.
  std::vector<SigningAuthority> authorities;
  // The newest rotation of the root, ended or not.
  std::optional<RootRotation> rotation;
  // Nothing: every certificate needs its record.
  std::optional<UnrecordedGrace> unrecorded;

  // What follows the leaf in a chain, one certificate an element: the issuing certificate, then its upstream.
  std::vector<Certificate> chain_tail;
  std::vector<std::string> chain_tail_pem;
  // Every trusted root as PEM, the active one first: the last element of a CreateCertificate answer.
  std::string roots_pem;
};

// What `state` says, as a snapshot. `issuing_id` names the authority that signs, with its opened `key`; "" for none.
// DataLoss: rows that contradict each other (names them): no bundle, two active ones, an active root that is not
// the bundle's first, an issuing authority whose root is not trusted.
absl::StatusOr<std::shared_ptr<const AuthoritySnapshot>> BuildSnapshot(const TrustDomain& domain,
                                                                       const AuthoritiesAndBundle& state,
                                                                       absl::string_view issuing_id,
                                                                       std::shared_ptr<const SigningKey> key,
                                                                       std::optional<UnrecordedGrace> unrecorded = {});

// Where the newest snapshot is found. Thread-safe.
class AuthoritySnapshots {
 public:
  using Listener = std::function<void(const std::shared_ptr<const AuthoritySnapshot>&)>;
  virtual ~AuthoritySnapshots() = default;

  // Never null once the CA has started.
  virtual std::shared_ptr<const AuthoritySnapshot> Current() const = 0;

  // Calls `listener` after every change, on the thread that made it, one change at a time, in order of revision. It may
  // call Current(), and must not change authorities. Listeners are added before the CA starts and live as long as it.
  virtual void AddListener(Listener listener) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_SNAPSHOT_H_
