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
  // The fraction of a certificate's remaining life after which it is renewed. Each renewal comes up to a tenth earlier
  // or later, so that a fleet that started together does not renew together.
  double renew_at = 0.5;
  // A key that nobody holds any more is kept this long, so that a proxy that reconnects gets the key it had. At most
  // `lingering_max` such keys are kept; beyond that the one that has been without a holder longest is dropped.
  absl::Duration linger = absl::Minutes(5);
  size_t lingering_max = 4096;
  // The most certificates that are asked for at the same time. Other keys wait in the ring, in the order of
  // KeySchedule, so that they do not fill the queue of the SvidSource.
  size_t in_flight_max = 256;
  // The time between two attempts to get a certificate: `retry_first`, doubled with each failure up to `retry_max`, but
  // not more than an eighth of the life that the present certificate has left. At least 200 ms; then up to half of it
  // is taken off at random.
  absl::Duration retry_first = absl::Seconds(1);
  absl::Duration retry_max = absl::Minutes(2);
};

// Consistent enough for metrics, not a transaction.
struct KeyRingStats {
  uint64_t keys = 0;       // in memory now, held or not
  uint64_t waiting = 0;    // of these: keys that wait for their turn to ask for a certificate
  uint64_t in_flight = 0;  // certificates and judgements that were asked for and have not come yet
  uint64_t issued = 0;     // first certificates, since start
  uint64_t renewed = 0;    // later ones
  uint64_t failed = 0;     // attempts that brought no certificate
  // Grows with each certificate that came and each key that was dropped, since start: equal numbers mean that
  // KeyRing::SharedKeys returns the same.
  uint64_t changes = 0;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_KEY_RING_OPTIONS_H_
