// The CA's memory of what it signed. storage/ implements it.
#ifndef MESHCA_CA_ISSUANCE_ISSUANCE_STORE_H_
#define MESHCA_CA_ISSUANCE_ISSUANCE_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/identity/audit_entry.h"
#include "ca/identity/caller_identity.h"
#include "ca/identity/origin.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/x509/serial_number.h"

namespace meshca {

// What the CA remembers of one signature; durable before the chain leaves.
struct IssuanceRecord {
  SerialNumber serial;
  SpiffeId spiffe_id;
  std::string key_sha256;          // 32 bytes, of the SubjectPublicKeyInfo
  std::string certificate_sha256;  // 32 bytes, of the DER certificate
  std::string authority_id;        // SigningAuthority::id of the signer
  absl::Time not_before;
  absl::Time not_after;
  absl::Time issued_at;
  AuthMethod method = AuthMethod::kJoinToken;
  std::string caller;         // CallerIdentity::subject, and " clusterid=" with SubmittedRequest::claimed_cluster
  std::string instance;       // "" where unknown
  std::string node;           // "" where unknown; of a renewal the store takes that of the certificate renewed
  std::string parent_serial;  // hex, of the certificate it renews; "". See Append for when it is believed and kept
  // The join token this issuance redeems, or "". The redemption is part of the same transaction.
  std::string token_id;
  // What gave the right. Of a renewal the store takes it from the certificate renewed, whatever stands here.
  Origin origin;
  // Hex, of the first certificate of this one's renewals; "" where that is itself. Given by the store.
  std::string line_serial;
  // When it was revoked, and why (RevocationReason); given by the store.
  absl::Time revoked_at = absl::InfiniteFuture();
  int revocation_reason = 0;
  // Not stored: what CallerIdentity says of these. Judged in the same transaction.
  std::optional<PresentedCertificate> presented;
  std::shared_ptr<const TrustedOrigins> trusted_origins;
  std::optional<ProvenNodeKey> node_key;
};

// Which records to list; a default filter lists all. Every condition given must hold.
struct IssuanceFilter {
  std::string spiffe_id_glob;       // `*` any run, `?` one byte; "" any
  std::string authority_id_prefix;  // "" any
  std::string node;                 // "" any
  bool revoked_only = false;
  // Half-open: expires_after <= notAfter < expires_before.
  absl::Time expires_before = absl::InfiniteFuture();
  absl::Time expires_after = absl::InfinitePast();
};

// Thread-safe.
class IssuanceStore {
 public:
  using AppendDone = absl::AnyInvocable<void(absl::Status) &&>;
  virtual ~IssuanceStore() = default;

  // Queues `record`, shared so that nobody copies it, and returns. `done` runs exactly once, with no lock held: on the
  // writer thread when the record survives power loss or has failed, or at once on the caller's thread when it is
  // refused (queue full, database broken, shutdown). On the writer thread it must not call what blocks on this store. A
  // chain leaves the process only from inside an Ok `done`. Errors: AlreadyExists (serial number seen), Aborted (its
  // authority no longer signs: sign again and resubmit), Unauthenticated (the token is unknown, expired, or was
  // redeemed for another key; and JudgePresented's), PermissionDenied (JudgePresented's; NODE_BANNED: the token is
  // for a node that is banned; ENTRY_GONE: the entry that gave the right was deleted meanwhile; KEY_REVOKED: the key
  // belongs to a certificate that was revoked), ResourceExhausted (queue full), Unavailable (database away, disk full,
  // read-only, shutdown).
  //
  // A certificate for a node's agent (ca/identity/node_name.h) is given for a join token of that ID, or as the renewal
  // of the one that has the node's name, and in no other way (PermissionDenied, AGENT_ID_NOT_ALLOWED). The token lets a
  // machine have the name (NodeStore): AlreadyExists (NODE_LIVES: another machine has it and lives, and the token does
  // not replace it; signing again does not help), Unauthenticated (NODE_REPLACED: another one joined since this token
  // was used), PermissionDenied (NODE_BANNED). Whoever repeats a token with its key, or joins with the key that the
  // inventory knows, is the same machine.
  //
  // With AuthMethod::kNodeKey the agent of a node gets another certificate by the key of its last one
  // (ca/identity/node_key.h); `node_key` says what it proved. Errors: JudgeNodeKey's and NODE_BANNED; Unauthenticated
  // (NODE_KEY_NOT_NEWEST: also where the node was forgotten; CERTIFICATE_REVOKED: the last certificate, its line or its
  // key was taken back). What brings a new key is in the audit log.
  //
  // With AuthMethod::kAgent the certificate is for a workload, and `presented` is the agent's that asks for it.
  // PermissionDenied or Unauthenticated unless that one passes JudgePresented, its node is `node` and the origin is an
  // entry that gives the ID and is for the node (ENTRY_GONE). The certificate that `parent_serial` names is continued
  // if it has the same ID and node and came from the machine that has the name; CERTIFICATE_REVOKED: it was revoked.
  //
  // `parent_serial` is kept, and the certificate that it names counts as replaced (LeafInventory), only where it is the
  // one that was shown or, of one that was not shown, has the same ID; of an agent, where it is continued.
  virtual void Append(std::shared_ptr<const IssuanceRecord> record, AppendDone done) = 0;
  void Append(IssuanceRecord record, AppendDone done) {
    Append(std::make_shared<const IssuanceRecord>(std::move(record)), std::move(done));
  }
  struct Appended {
    std::shared_ptr<const IssuanceRecord> record;
    AppendDone done;
  };
  // Append for each of them; a store with a cost for each transaction records them in one. Each has its own outcome.
  virtual void AppendTogether(std::vector<Appended> records) {
    for (Appended& one : records) Append(std::move(one.record), std::move(one.done));
  }

  // The calls below block on the database: for the pool, never for a loop. Errors: Unavailable.
  // NotFound: no such serial.
  virtual absl::StatusOr<IssuanceRecord> Find(const SerialNumber& serial) = 0;
  // Calls `visit` for each match, oldest first, until it returns false. Constant memory, whatever the size.
  virtual absl::Status List(const IssuanceFilter& filter, absl::FunctionRef<bool(const IssuanceRecord&)> visit) = 0;
  // May a caller with this client certificate be served at all, now? Its record, when it may: for uses that issue
  // nothing. What Append judges of IssuanceRecord::presented is the same.
  // Unauthenticated: CERTIFICATE_NOT_RECORDED (this CA has no record of it, or one of another certificate with its
  // serial number, or for another ID), CERTIFICATE_REVOKED (it, or what it was renewed from). PermissionDenied
  // (CERTIFICATE_ORIGIN_GONE): what gave the right is there no more; names it. The same (CERTIFICATE_PUBLISHED): meshca
  // publishes the certificate with its key and renews it by itself (OriginKind::kPublished). For the certificate of a
  // node's agent, and of a workload that got it through one: Unauthenticated (NODE_REPLACED: another machine has the
  // node's name now; NODE_UNKNOWN: the node was forgotten), PermissionDenied (NODE_BANNED). Where
  // `shown.may_be_unrecorded` and no record has its serial number, the answer is an empty record with the ID alone.
  virtual absl::StatusOr<IssuanceRecord> JudgePresented(
      const PresentedCertificate& shown, const std::shared_ptr<const TrustedOrigins>& trusted_origins) = 0;
  // Records in the store, pruned ones not counted.
  virtual absl::StatusOr<uint64_t> CountIssuances() = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_ISSUANCE_STORE_H_
