// One subscriber instance and what it holds, as the rotation judges it and as the database keeps it.
#ifndef MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_RECORD_H_
#define MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_RECORD_H_

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/subscribers/trust_version.h"

namespace meshca {

// One subscriber instance (a SPIFFE ID is shared by many pods and proves nothing): on a Unix socket the process, which
// is its pid and start time, with its node id; over mTLS the SPIFFE ID, the node id and the client certificate followed
// through its renewals (sds/caller.h makes the key). The slowest of its streams counts.
struct SubscriberRecord {
  std::string instance;  // unique key; made by whoever serves it
  std::string spiffe_id;
  std::string node;
  std::string kind;  // "sds-unix", "sds-mtls", "agent", "workload-api"; see HoldsWhatItWasSent
  std::string peer;  // for people: "pid 4242 uid 1000", "10.0.0.7:41822"
  bool connected = false;
  absl::Time first_seen;
  absl::Time last_seen;
  // The slowest stream's acknowledged state; 0 and "" before the first acknowledgement.
  TrustVersion trust_version = 0;
  std::string serial;        // hex, of the acknowledged leaf
  std::string version_info;  // of the newest acknowledged `default`
  absl::Time acknowledged_at = absl::InfinitePast();
  absl::Time certificate_expires = absl::InfinitePast();  // of the newest leaf sent to it
  std::string rejected;       // what the proxy said with its last NACK; "" after a later ACK
  std::string authority_id;   // that signed the leaf `serial`; "" while that is ""
  bool takes_bundle = false;  // a stream of it carries, or carried when it left, a trust bundle
  bool takes_key = false;     // the same, for a key
  // When the operator said that the instance is gone for good. It counts no more, unless it comes back: a stream of it
  // clears this.
  absl::Time evicted_at = absl::InfiniteFuture();

  bool IsEvicted() const { return evicted_at != absl::InfiniteFuture(); }
};

// Whether instances of this kind acknowledge nothing and hold, instead, what they were sent last: those that fetch
// ("sds-fetch-unix", "sds-fetch-mtls").
inline bool HoldsWhatItWasSent(absl::string_view kind) { return absl::StartsWith(kind, "sds-fetch-"); }

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_RECORD_H_
