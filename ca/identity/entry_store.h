// Where registration entries are kept. storage/ implements it.
#ifndef MESHCA_CA_IDENTITY_ENTRY_STORE_H_
#define MESHCA_CA_IDENTITY_ENTRY_STORE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/identity/audit_entry.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca {

// Which processes may hold an identity: a caller on the API socket holds `spiffe_id` when it meets every selector.
// Selectors: `unix:uid:1000`, `unix:path:/usr/bin/envoy`, ...; ca/authn/selector_kind.h has all kinds. Whose socket
// that is say the nodes: without any it is the CA's own; with some it is that of the agents of nodes that fit one, and
// no other.
struct RegistrationEntry {
  std::string id;  // given by whoever creates it; unique
  SpiffeId spiffe_id;
  std::vector<std::string> selectors;  // at least one; sorted, unique
  absl::Duration ttl;                  // zero: the profile's default
  std::vector<std::string> dns_names;  // lower-case
  absl::Time created_at;
  std::string created_by;
  std::vector<std::string> nodes;  // globs over node names (CheckNodeGlob); sorted, unique
  std::string hint;                // which of several identities this is, told to Workload API clients; "" for none
  absl::Duration jwt_ttl;          // of JWT-SVIDs; zero: the default

  bool ServedByAgents() const { return !nodes.empty(); }
  // Does the agent of `node` serve it? False for every entry without nodes.
  bool IsFor(absl::string_view node) const;
};

// Thread-safe. Every call blocks on the database: for the pool, never for a loop.
// Errors of all: Unavailable, DataLoss (a row's MAC does not fit).
class EntryStore {
 public:
  virtual ~EntryStore() = default;

  // Durable when it returns Ok. AlreadyExists: an entry with this id, or another that holds the same SPIFFE ID,
  // selectors and nodes; says which.
  virtual absl::Status CreateEntry(const RegistrationEntry& entry, const AuditEntry& audit) = 0;
  // Creates the entry, or replaces the one with its id. Durable when it returns Ok.
  // AlreadyExists: another id holds the same SPIFFE ID, selectors and nodes.
  virtual absl::Status PutEntry(const RegistrationEntry& entry, const AuditEntry& audit) = 0;
  virtual absl::StatusOr<std::vector<RegistrationEntry>> ListEntries() = 0;
  // NotFound: no entry with that id.
  virtual absl::Status DeleteEntry(absl::string_view id, const AuditEntry& audit) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_ENTRY_STORE_H_
