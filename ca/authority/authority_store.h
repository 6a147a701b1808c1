// The database of authorities and JWT keys, their sealed private keys, and the trust bundle. storage/ implements this
// interface.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_STORE_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_STORE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/root_rotation.h"
#include "ca/authority/signing_authority.h"
#include "ca/identity/audit_entry.h"

namespace meshca {

// One authority as a database row: a SigningAuthority whose private key is encrypted, or kept elsewhere.
struct StoredAuthority {
  std::string id;  // SigningAuthority::id
  AuthorityRole role = AuthorityRole::kIssuing;
  AuthorityState state = AuthorityState::kPrepared;
  bool tainted = false;
  std::string root_id;
  std::vector<std::string> chain_der;  // its certificate, then upstream, nearest first
  // Where the private key is: "sealed" (in sealed_key), "file:<folder>" (plugged in), "exported", "" (not held here).
  std::string key_reference;
  std::string sealed_key;  // KeyEncryption::Seal's output, else ""
  absl::Time created_at;
  absl::Time activated_at = absl::InfiniteFuture();
  absl::Time retired_at = absl::InfiniteFuture();
  bool exported = false;  // SigningAuthority::exported
};

// One key that signs JWT-SVIDs as a database row: a JwtAuthority whose private key is encrypted.
struct StoredJwtAuthority {
  std::string key_id;  // JwtKey::key_id
  AuthorityState state = AuthorityState::kPrepared;
  bool tainted = false;
  std::string public_key_der;  // SubjectPublicKeyInfo
  // Where the private key is: see StoredAuthority. Both are "" once it is retired.
  std::string key_reference;
  std::string sealed_key;
  // The number of the first bundle that held it, or of the restored one after a restore; 0: none has held it yet.
  uint64_t published_sequence = 0;
  absl::Time created_at;
  absl::Time activated_at = absl::InfiniteFuture();
  absl::Time replaced_at = absl::InfiniteFuture();  // when its successor became active
  absl::Time retired_at = absl::InfiniteFuture();
};

// One version of the trust bundle.
struct StoredBundle {
  uint64_t sequence_number = 0;
  std::vector<std::string> roots_der;  // the active authority's root first
  absl::Time published_at;
  std::vector<std::string> jwt_keys_der = {};  // SubjectPublicKeyInfo of each JWT key, the oldest first
};

// Everything the CA needs to start, read in one transaction.
struct AuthoritiesAndBundle {
  uint64_t revision = 0;
  std::string trust_domain;  // "" in a fresh store
  std::vector<StoredAuthority> authorities;
  std::vector<StoredJwtAuthority> jwt_authorities;  // the oldest first
  std::optional<StoredBundle> bundle;               // the newest
  std::optional<RootRotation> rotation;             // the newest, ended or not
};

// Which certificates may be alive at `now` when a change is made: those of some authorities, and those with one SPIFFE
// ID. One with any other authority and ID refuses the change.
struct LiveLeafLimit {
  absl::Time now;
  std::vector<std::string> not_counted;  // ids of authorities
  std::string own_spiffe_id;             // written out, not a glob: the CA's own, see OwnLeaves; "": none
};

// One change, applied whole or not at all.
struct AuthorityChange {
  // The revision that this change was computed from. If the store holds another one it answers Aborted: reload, and
  // compute the change again.
  uint64_t expected_revision = 0;
  std::string trust_domain;                              // written once, at first start; must match later
  std::vector<StoredAuthority> authorities;              // each is inserted, or replaces the row with the same id
  std::vector<StoredJwtAuthority> jwt_authorities = {};  // the same, by key_id
  std::optional<StoredBundle> bundle;  // a new version; its sequence number must be above every earlier one
  // Is inserted, or replaces the row with the same number.
  std::optional<RootRotation> rotation;
  // Ids of authorities, and the number of a rotation (0: none), whose rows are deleted: an aborted rotation leaves only
  // its audit entry. FailedPrecondition if one of the authorities has signed a recorded leaf.
  std::vector<std::string> forgotten_authorities;
  uint64_t forgotten_rotation = 0;
  // The change is only made where no others live: FailedPrecondition (LEAVES_LIVE). Counted in its own transaction, so
  // no certificate of an authority that it takes the right to sign comes in between.
  std::optional<LiveLeafLimit> live_leaf_limit = {};
  // Sealed settings to write, by name; see AuthorityStore::PutSealedSetting.
  std::map<std::string, std::string> sealed_settings;
  std::vector<AuditEntry> audit;  // at least one
};

// AuthorityChange::live_leaf_limit was exceeded.
inline constexpr char kLeavesLive[] = "LEAVES_LIVE";

// Thread-safe. Every call blocks on the database, so it is made by pool or rotation threads, never by a loop.
// Errors of all: Unavailable, DataLoss (a row's MAC does not match).
class AuthorityStore {
 public:
  virtual ~AuthorityStore() = default;

  virtual absl::StatusOr<AuthoritiesAndBundle> LoadAuthorities() = 0;
  // Commits `change`, durably, and returns the new revision. Once an authority is not active here, the store accepts no
  // record of a certificate that it signed. Aborted: the store is at another revision than expected.
  // FailedPrecondition: another trust domain, a bundle number that does not grow, a second rotation while one has not
  // ended, live certificates that the change does not allow.
  virtual absl::StatusOr<uint64_t> CommitAuthorities(const AuthorityChange& change) = 0;

  // Blocks until the stored revision (AuthoritiesAndBundle::revision) is above `known`, and returns it. A commit of
  // this process wakes the caller at once, one of another process within a second. DeadlineExceeded: `wait_max` ran
  // out. Cancelled: EndRevisionWaits. Unavailable: the database is away.
  virtual absl::StatusOr<uint64_t> WaitForRevisionAbove(uint64_t known, absl::Duration wait_max) = 0;
  // Ends every wait, those that begin later too: for the shutdown, before the threads that wait are joined.
  virtual void EndRevisionWaits() = 0;

  // How many certificates have not expired at `now`, by authority id. Cheap: the store keeps counters.
  virtual absl::StatusOr<std::map<std::string, uint64_t>> CountLiveLeaves(absl::Time now) = 0;

  // Small values that the CA keeps for itself (settings.h). NotFound: the setting was never written.
  virtual absl::StatusOr<std::string> GetSetting(absl::string_view name) = 0;
  virtual absl::Status PutSetting(absl::string_view name, absl::string_view value) = 0;
  // The same for a value that grants a right: it is stored with a MAC. DataLoss: the value was not written by
  // PutSealedSetting. GetSetting reads it too, without checking the MAC.
  virtual absl::StatusOr<std::string> GetSealedSetting(absl::string_view name) = 0;
  virtual absl::Status PutSealedSetting(absl::string_view name, absl::string_view value) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_STORE_H_
