// One proxy's DeltaSecrets call: changes only.
#ifndef MESHCA_SDS_DELTA_SECRET_STREAM_H_
#define MESHCA_SDS_DELTA_SECRET_STREAM_H_

#include <functional>
#include <set>
#include <string>

#include "sds/discovery_stream.h"

namespace meshca::sds {

// Requests add and remove names; a name that cannot be had, or no longer, is listed as removed, once. What a client
// that reconnects says it still holds (initial_resource_versions) is not believed: it is sent everything again.
class DeltaSecretStream final : public DiscoveryStream {
 public:
  // As DiscoveryStream.
  DeltaSecretStream(rpc::Stream& stream, SecretHub& hub) : DiscoveryStream(stream, hub) {}

 private:
  absl::StatusOr<DiscoveryAsk> ReadRequest(absl::string_view message) const override {
    return ReadDeltaRequest(message);
  }
  bool IsAckAlone(absl::string_view message) const override;
  void ApplyNames(DiscoveryAsk& ask) override;
  // A request tells what changed, so its names count whatever it answers.
  bool StaleNamesCount() const override { return true; }
  NumberedResponse MakeNextResponse(std::span<const SecretSnapshot* const> resources) const override;
  void OnRefused(const std::string& name) override;
  bool HasMoreToTell() const override { return !removed_.empty(); }
  void OnSent() override;

  // To be listed as removed in the next response. All of them are subscribed to: there are never more than a stream may
  // have names, however often a client that does not read asks.
  std::set<std::string, std::less<>> removed_;
  size_t removed_charge_ = 0;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_DELTA_SECRET_STREAM_H_
