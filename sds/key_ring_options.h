// How a key ring is set up, and what it counts.
#ifndef MESHCA_SDS_KEY_RING_OPTIONS_H_
#define MESHCA_SDS_KEY_RING_OPTIONS_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "ca/x509/public_key.h"

namespace meshca::sds {

struct KeyRingOptions {
  KeyType key_type = KeyType::kEcP256;
  // The part of a certificate's life after which it is renewed: earlier or later by up to a tenth, so that a fleet that
  // started together does not renew together.
  double renew_at = 0.5;
  // A key that nobody holds any more is kept this long, so that a proxy that reconnects gets the one it had; at most
  // `lingering_max` of them, then the one that has been without a holder longest goes.
  absl::Duration linger = absl::Minutes(5);
  size_t lingering_max = 4096;
  // So many certificates are asked for at once. More keys wait in the ring (KeySchedule has the order), so that they do
  // not fill the queue of the source.
  size_t in_flight_max = 256;
  // The time between two attempts to get a certificate: `retry_first`, doubled with each failure up to `retry_max`, and
  // never more than an eighth of the time that the certificate before it has left.
  absl::Duration retry_first = absl::Seconds(1);
  absl::Duration retry_max = absl::Minutes(2);
};

// Consistent enough for metrics, not a transaction.
struct KeyRingStats {
  uint64_t keys = 0;       // in memory now, held or not
  uint64_t waiting = 0;    // of them: for their turn to ask for a certificate
  uint64_t in_flight = 0;  // certificates and judgements that were asked for and have not come yet
  uint64_t issued = 0;     // first certificates, since start
  uint64_t renewed = 0;    // later ones
  uint64_t failed = 0;     // attempts that brought no certificate
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_KEY_RING_OPTIONS_H_
