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
  // Ends the stream with `why`, which the client is told. Runs on the stream's own loop.
  virtual void OnEvicted(const absl::Status& why) = 0;
};

// The notice to give to SubscriberRegistry::Join: it posts OnEvicted to `stream`'s loop, with Unavailable (reason
// SUBSCRIBER_EVICTED), so that the proxy opens a new stream.
EvictionNotice EndWhenEvicted(rpc::TypedStreamHandle<EvictableStream> stream);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_EVICTABLE_STREAM_H_
