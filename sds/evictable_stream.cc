#include "sds/evictable_stream.h"

#include <utility>

#include "ca/base/status.h"

namespace meshca::sds {
namespace {

absl::Status EndedByOperator() {
  return WithReason(
      absl::UnavailableError("SDS: an operator evicted this subscriber: ask again, and acknowledge what comes"),
      "SUBSCRIBER_EVICTED");
}

}  // namespace

EvictionNotice EndWhenEvicted(rpc::TypedStreamHandle<EvictableStream> stream) {
  return
      [stream = std::move(stream)] { stream.Post([](EvictableStream& self) { self.OnEvicted(EndedByOperator()); }); };
}

}  // namespace meshca::sds
