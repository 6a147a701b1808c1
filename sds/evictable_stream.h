// A stream that ends when the operator evicts its subscriber.
#ifndef MESHCA_SDS_EVICTABLE_STREAM_H_
#define MESHCA_SDS_EVICTABLE_STREAM_H_

#include "absl/status/status.h"
#include "ca/rpc/stream.h"
#include "ca/subscribers/subscriber_instance.h"

namespace meshca::sds {

class EvictableStream : public rpc::StreamHandler {
 public:
  // Loop thread. `why` is what the client is told.
  virtual void OnEvicted(const absl::Status& why) = 0;
};

// For SubscriberRegistry::Join: tells `stream`, which names an EvictableStream, on its own loop. Unavailable (reason
// SUBSCRIBER_EVICTED), so that its proxy asks again.
EvictionNotice EndWhenEvicted(rpc::StreamHandle stream);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_EVICTABLE_STREAM_H_
