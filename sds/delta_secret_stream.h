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
  DeltaSecretStream(rpc::Stream& stream, SecretHub& hub) : DiscoveryStream(stream, hub, Protocol::kDelta) {}

 private:
  absl::StatusOr<DiscoveryAsk> Read(absl::string_view message) const override { return ReadDeltaRequest(message); }
  void ApplyNames(DiscoveryAsk& ask) override;
  bool StaleNamesCount() const override { return true; }
  std::set<std::string, std::less<>>* removed() override { return &removed_; }

  std::set<std::string, std::less<>> removed_;
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_DELTA_SECRET_STREAM_H_
