// What the admin service works on: the stores, the authorities, the subscribers, and a few questions to the server.
#ifndef MESHCA_CA_SERVICE_ADMIN_CONTEXT_H_
#define MESHCA_CA_SERVICE_ADMIN_CONTEXT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/jwt_authenticator.h"
#include "ca/authority/authority_options.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/authority_store.h"
#include "ca/authority/exported_authority.h"
#include "ca/authority/jwt_key_control.h"
#include "ca/authority/rotation_control.h"
#include "ca/authority/set_files.h"
#include "ca/base/checked_fact.h"
#include "ca/base/entropy.h"
#include "ca/base/judged_clock.h"
#include "ca/identity/entry_apply_store.h"
#include "ca/identity/entry_store.h"
#include "ca/identity/node_store.h"
#include "ca/identity/token_store.h"
#include "ca/issuance/issuance_store.h"
#include "ca/issuance/jwt_minter.h"
#include "ca/issuance/revocation_store.h"
#include "ca/issuance/store_maintenance.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/subscribers/subscriber_record.h"

namespace meshca {

// The subscribers as they are now; the composition root implements it on sds/. Thread-safe; may block.
class LiveSubscribers {
 public:
  // Is this identity, whose subscribers hold the certificate `serial` (hex), to get a new one?
  using Wanted = std::function<bool(absl::string_view spiffe_id, absl::string_view serial)>;
  virtual ~LiveSubscribers() = default;

  // Every instance known, connected or remembered.
  virtual absl::StatusOr<std::vector<SubscriberRecord>> List() = 0;
  // Starts the renewal of every key that subscribers hold and `wanted` names, ahead of its time; returns at once.
  // The SPIFFE ID of each key, in any order.
  virtual std::vector<std::string> Renew(const Wanted& wanted) = 0;
  // The operator's word that no rotation is to wait for those that `chosen` picks; durable. The streams of those that
  // are connected are ended. Who was evicted before, and has not come back, is not asked about. Unavailable.
  struct Evicted {
    std::vector<SubscriberRecord> records;  // as they are then; by SPIFFE ID
    uint64_t ended = 0;                     // of these: they were connected
  };
  virtual absl::StatusOr<Evicted> Evict(const std::function<bool(const SubscriberRecord&)>& chosen) = 0;
  // Certificates were revoked: the keys that this server made under them are dropped when it returns, nobody gets them
  // again, and whoever holds one is told so. Their number; what could not be judged now is judged again soon.
  virtual uint64_t DropRevoked() = 0;
};

// A node's agent as it is remembered, and what it said last if it is connected.
struct AttachedAgent {
  bool connected = false;
  std::string version;
  uint64_t trust_version = 0;  // that its slowest consumer holds
  uint64_t consumers = 0;
  uint64_t behind = 0;  // of these: they do not hold the newest trust
  // How many times another agent of the node took the place of one that was connected, and when last.
  uint64_t displaced = 0;
  absl::Time displaced_at = absl::InfinitePast();
};

// What does not change while the server runs.
struct ServerFacts {
  std::string version;
  TrustDomain trust_domain;
  std::string state_dir;
  absl::Time started_at;
  absl::Duration leaf_lifetime_default = absl::Hours(24);
};

// Everything outlives the admin service. Functions run on its own threads and may block; an empty one is not asked.
struct AdminContext {
  // What is given until a date, or taken from whoever lives at one, and what is written down, goes by its LikelyNow().
  const JudgedClock& clock;
  EntropySource& entropy;
  const AuthoritySnapshots& authorities;
  AuthorityStore& authority_store;
  TokenStore& tokens;
  EntryStore& entries;
  IssuanceStore& issuances;
  RevocationStore& revocations;
  StoreMaintenance& maintenance;
  LiveSubscribers& subscribers;
  ServerFacts facts = {};

  RotationControl* rotation = nullptr;       // null: Unimplemented
  EntryApplyStore* entry_applies = nullptr;  // null: Unimplemented
  NodeStore* nodes = nullptr;                // null: Unimplemented
  JwtKeyControl* jwt_keys = nullptr;         // null: Unimplemented, like the next
  JwtMinter* jwt_minter = nullptr;

  // Name and address of each, real ports included.
  std::function<std::vector<std::pair<std::string, std::string>>()> listeners = {};
  // AuthorityManager::Import, Export and LastError.
  std::function<absl::Status(const SetFiles& files, const std::string& actor, const ImportOptions& options)>
      import_root = {};
  std::function<absl::StatusOr<ExportedSet>(const ExportRequest& request, const std::string& actor)> export_authority =
      {};
  std::function<std::string()> authority_error = {};
  // ClockWatch::FindingNow and AuthorityManager::AcceptClock.
  std::function<std::string()> clock_finding = {};
  std::function<absl::Status(const std::string& actor)> accept_clock = {};
  // JwtAuthenticator::Reports.
  std::function<std::vector<JwtIssuerReport>()> token_issuers = {};
  // Ok, or why the server does not call itself ready.
  std::function<absl::Status()> readiness = {};
  // Registration entries have changed: reload what was read of them, tell the streams that wait for one.
  std::function<absl::Status()> entries_changed = {};
  // The agent of a node, if it is connected or remembered.
  std::function<std::optional<AttachedAgent>(absl::string_view node)> attached_agent = {};
  // What `meshca check` says of the Kubernetes cluster; empty: there is none.
  std::function<std::vector<CheckedFact>()> cluster_facts = {};
  // A certificate was revoked, an authority tainted: whoever is connected is judged again at once. Does not wait.
  std::function<void()> judge_connections = {};
  // So many certificates were revoked.
  std::function<void(uint64_t certificates)> count_revoked = {};
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_ADMIN_CONTEXT_H_
