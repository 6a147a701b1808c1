// One proxy's StreamSecrets call: the state of the world.
#ifndef MESHCA_SDS_SECRET_STREAM_H_
#define MESHCA_SDS_SECRET_STREAM_H_

#include "sds/discovery_stream.h"

namespace meshca::sds {

// Each request names everything subscribed to. A response holds the resources that changed and is never empty, so a
// name that cannot be had is simply missing.
class SecretStream final : public DiscoveryStream {
 public:
  SecretStream(rpc::Stream& stream, SecretHub& hub) : DiscoveryStream(stream, hub, Protocol::kStateOfTheWorld) {}

 private:
  absl::StatusOr<DiscoveryAsk> Read(absl::string_view message) const override { return ReadStateRequest(message); }
  void ApplyNames(DiscoveryAsk& ask) override;
  bool StaleNamesCount() const override { return false; }
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SECRET_STREAM_H_
