// One proxy's StreamSecrets call: the state of the world.
#ifndef MESHCA_SDS_SECRET_STREAM_H_
#define MESHCA_SDS_SECRET_STREAM_H_

#include "sds/discovery_stream.h"

namespace meshca::sds {

// Each request names everything subscribed to. A response holds the resources that changed and is never empty, so a
// name that cannot be had is simply missing.
class SecretStream final : public DiscoveryStream {
 public:
  // As DiscoveryStream.
  SecretStream(rpc::Stream& stream, SecretHub& hub) : DiscoveryStream(stream, hub) {}

 private:
  absl::StatusOr<DiscoveryAsk> ReadRequest(absl::string_view message) const override {
    return ReadStateRequest(message);
  }
  bool IsAckAlone(absl::string_view message) const override;
  void ApplyNames(DiscoveryAsk& ask) override;
  bool StaleNamesCount() const override { return false; }
  NumberedResponse MakeNextResponse(std::span<const SecretSnapshot* const> resources) const override;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SECRET_STREAM_H_
