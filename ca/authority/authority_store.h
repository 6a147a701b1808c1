// Where authorities, their sealed keys and the trust bundle are kept. storage/ implements it.
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

// One authority as a row: a SigningAuthority whose key is sealed or elsewhere.
struct StoredAuthority {
  std::string id;  // SigningAuthority::id
  AuthorityRole role = AuthorityRole::kIssuing;
  AuthorityState state = AuthorityState::kPrepared;
  bool tainted = false;
  std::string root_id;
  std::vector<std::string> chain_der;  // its certificate, then upstream, nearest first
  // How to get at the private key: "sealed" (sealed_key holds it), "file:<folder>" (plugged in), "" (not held).
  std::string key_reference;
  std::string sealed_key;  // KeyEncryption::Seal's output, else ""
  absl::Time created_at;
  absl::Time activated_at = absl::InfiniteFuture();
  absl::Time retired_at = absl::InfiniteFuture();
};

// One version of the trust bundle.
struct StoredBundle {
  uint64_t sequence_number = 0;
  std::vector<std::string> roots_der;  // the active authority's root first
  absl::Time published_at;
};

// Everything the CA needs to start, read in one transaction.
struct AuthoritiesAndBundle {
  uint64_t revision = 0;
  std::string trust_domain;  // "" in a fresh store
  std::vector<StoredAuthority> authorities;
  std::optional<StoredBundle> bundle;    // the newest
  std::optional<RootRotation> rotation;  // the newest, ended or not
};

// One step, applied whole or not at all.
struct AuthorityChange {
  // The revision this change was judged on: another one in the store answers Aborted (reload, judge again).
  uint64_t expected_revision = 0;
  std::string trust_domain;                  // written once, at first start; must match later
  std::vector<StoredAuthority> authorities;  // inserted, or replacing the row of the same id
  std::optional<StoredBundle> bundle;        // a new version; its sequence number must be above every earlier one
  // Inserted, or replacing the row of the same number.
  std::optional<RootRotation> rotation;
  // An aborted rotation leaves nothing but its audit entry: these rows are deleted. None of the authorities has signed
  // a recorded leaf (FailedPrecondition).
  std::vector<std::string> forgotten_authorities;
  uint64_t forgotten_rotation = 0;  // its number; 0: none
  // AuthorityStore::PutSealedSetting of each, by name.
  std::map<std::string, std::string> sealed_settings;
  std::vector<AuditEntry> audit;  // at least one
};

// Thread-safe. Every call blocks on the database: for the pool or the rotation thread, never for a loop.
// Errors of all: Unavailable, DataLoss (a row's MAC does not fit).
class AuthorityStore {
 public:
  virtual ~AuthorityStore() = default;

  virtual absl::StatusOr<AuthoritiesAndBundle> LoadAuthorities() = 0;
  // Durable when it returns; the new revision. Once an authority is not active here, no record signed by it gets in.
  // Aborted: another revision. FailedPrecondition: another trust domain, a bundle number that does not grow, a second
  // rotation while one has not ended.
  virtual absl::StatusOr<uint64_t> CommitAuthorities(const AuthorityChange& change) = 0;

  // Blocks until the stored revision (AuthoritiesAndBundle::revision) is above `known`, and returns it. A commit of
  // this process wakes the caller at once, one of another process within a second. DeadlineExceeded: `wait_max` ran
  // out. Cancelled: EndRevisionWaits. Unavailable: the database is away.
  virtual absl::StatusOr<uint64_t> WaitForRevisionAbove(uint64_t known, absl::Duration wait_max) = 0;
  // Ends every wait, those that begin later too: for the shutdown, before the threads that wait are joined.
  virtual void EndRevisionWaits() = 0;

  // Certificates that have not expired at `now`, by authority id. Kept as counters; cheap.
  virtual absl::StatusOr<std::map<std::string, uint64_t>> CountLiveLeaves(absl::Time now) = 0;

  // Small values of the CA's own: high-water mark of the wall clock, and the like. NotFound: never set.
  virtual absl::StatusOr<std::string> GetSetting(absl::string_view name) = 0;
  virtual absl::Status PutSetting(absl::string_view name, absl::string_view value) = 0;
  // The same for a value that grants trust: it carries a MAC. DataLoss: the value was not written by PutSealedSetting.
  // GetSetting reads it too, unjudged.
  virtual absl::StatusOr<std::string> GetSealedSetting(absl::string_view name) = 0;
  virtual absl::Status PutSealedSetting(absl::string_view name, absl::string_view value) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_STORE_H_
