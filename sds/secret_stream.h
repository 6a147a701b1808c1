// One proxy's StreamSecrets call, which speaks the state-of-the-world protocol.
#ifndef MESHCA_SDS_SECRET_STREAM_H_
#define MESHCA_SDS_SECRET_STREAM_H_

#include "sds/discovery_stream.h"

namespace meshca::sds {

// Each request lists every name that is subscribed to. A response holds the resources that changed and is never empty;
// a name that the caller may not have is left out without a word.
class SecretStream final : public DiscoveryStream {
 public:
  // `stream` and `hub` outlive this object.
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
