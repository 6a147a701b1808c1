// A stream that ends when the operator evicts its subscriber.
#ifndef MESHCA_SDS_EVICTABLE_STREAM_H_
#define MESHCA_SDS_EVICTABLE_STREAM_H_

#include "absl/status/status.h"
#include "ca/rpc/stream.h"
#include "ca/rpc/typed_stream_handle.h"
#include "ca/subscribers/subscriber_instance.h"

namespace meshca::sds {

class EvictableStream : public rpc::StreamHandler {
 public:
  // On the stream's own loop. `why` is what the client is told.
  virtual void OnEvicted(const absl::Status& why) = 0;
};

// What SubscriberRegistry::Join is given: tells `stream`, on its own loop. It is told Unavailable (reason
// SUBSCRIBER_EVICTED), so that its proxy asks again.
EvictionNotice EndWhenEvicted(rpc::TypedStreamHandle<EvictableStream> stream);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_EVICTABLE_STREAM_H_
