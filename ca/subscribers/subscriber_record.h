// One subscriber instance and what it holds: the value that a rotation judges and that the database stores.
#ifndef MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_RECORD_H_
#define MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_RECORD_H_

#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/process_name.h"
#include "ca/subscribers/trust_version.h"

namespace meshca {

// Evidence is counted for each instance, because many pods share one SPIFFE ID. On a Unix socket an instance is a
// process (pid and start time) with its node id; over mTLS it is a SPIFFE ID, a node id and a client certificate with
// its renewals (sds/caller.h). Of several streams of an instance the slowest counts.
struct SubscriberRecord {
  std::string instance;  // unique key; made by the service that it is a subscriber of
  std::string spiffe_id;
  std::string node;
  std::string
      kind;  // "sds-unix", "sds-mtls", "agent", "workload-api", "published"; see HoldsWhatItWasSent, CannotAcknowledge
  std::string peer;  // for people: "pid 4242 uid 1000", "10.0.0.7:41822"
  // The process that the instance is, when its service reports it: the instance ends with it. It is not stored. Not
  // known: nobody sees when the instance ends.
  ProcessName process;
  bool connected = false;
  absl::Time first_seen;
  absl::Time last_seen;
  // What the slowest stream has acknowledged, or what was delivered to it; 0 and "" before that.
  TrustVersion trust_version = 0;
  std::string serial;        // hex, of the acknowledged leaf
  std::string version_info;  // for people: of an acknowledged response, that with the key if there is one
  absl::Time acknowledged_at = absl::InfinitePast();
  // Of a kind that CannotAcknowledge: when something counted as delivered to it last. InfinitePast: nothing has yet.
  absl::Time delivered_at = absl::InfinitePast();
  absl::Time certificate_expires = absl::InfinitePast();  // of the newest leaf sent to it
  std::string rejected;                                   // the text of the proxy's last NACK; "" after a later ACK
  std::string authority_id;   // of the authority that signed the leaf `serial`; "" if that is ""
  bool takes_bundle = false;  // a stream of it carries a trust bundle, or did when the instance left
  bool takes_key = false;     // the same for a key
  // The same for the keys of JWT-SVIDs: it counts when one of them begins to sign, and not for an X.509 root.
  bool takes_jwt_keys = false;
  // When the operator said that the instance is gone for good (`meshca subscriber evict`), so that it counts no more.
  // InfiniteFuture: never, or it has come back since.
  absl::Time evicted_at = absl::InfiniteFuture();

  // Of an agent: how many times another agent of its node took its place while it was connected, and when last.
  uint64_t displaced = 0;
  absl::Time displaced_at = absl::InfinitePast();

  bool IsEvicted() const { return evicted_at != absl::InfiniteFuture(); }
};

// The kind of agents of nodes, which ca/agents keeps in the same table.
inline constexpr absl::string_view kAgentKind = "agent";
// The kind of the rows by which ca/agents remembers that a consumer on a node was evicted.
inline constexpr absl::string_view kAgentConsumerKind = "agent-consumer";
// Whether ca/agents keeps the rows of this kind.
inline bool IsKeptByAgents(absl::string_view kind) { return kind == kAgentKind || kind == kAgentConsumerKind; }

// Whether instances of this kind acknowledge nothing, so that they are taken to hold what they were sent last: callers
// of FetchSecrets ("sds-fetch-unix", "sds-fetch-mtls").
inline bool HoldsWhatItWasSent(absl::string_view kind) { return absl::StartsWith(kind, "sds-fetch-"); }

// Kinds of subscribers of the SPIFFE Workload API, whose streams carry X.509-SVIDs and X.509 bundles, or JWT bundles.
inline constexpr absl::string_view kWorkloadApiKind = "workload-api";
inline constexpr absl::string_view kWorkloadJwtKind = "workload-jwt";

// The kind of objects outside of this process in which the roots are published (ca/publishing). `instance` is the
// object's name for people, and `version_info` says what it shows and from when that counts.
inline constexpr absl::string_view kPublishedKind = "published";

// Whether the protocol of this kind has streams and no acknowledgements: what was written to such a stream counts as
// delivered when the stream is still open some time later (SubscriberRegistry::Member::Wrote).
inline bool CannotAcknowledge(absl::string_view kind) { return kind == kWorkloadApiKind || kind == kWorkloadJwtKind; }

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_RECORD_H_
