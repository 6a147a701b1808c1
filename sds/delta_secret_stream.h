// One proxy's DeltaSecrets call: requests and responses hold only what changed.
#ifndef MESHCA_SDS_DELTA_SECRET_STREAM_H_
#define MESHCA_SDS_DELTA_SECRET_STREAM_H_

#include <functional>
#include <set>
#include <string>

#include "sds/discovery_stream.h"

namespace meshca::sds {

// Requests add and remove names. A name that the caller may not have, or may not have any more, is listed once as
// removed. A client that reconnects is sent everything again: what it claims to hold (initial_resource_versions) is
// ignored.
class DeltaSecretStream final : public DiscoveryStream {
 public:
  // `stream` and `hub` outlive this object.
  DeltaSecretStream(rpc::Stream& stream, SecretHub& hub) : DiscoveryStream(stream, hub) {}

 private:
  absl::StatusOr<DiscoveryAsk> ReadRequest(absl::string_view message) const override {
    return ReadDeltaRequest(message);
  }
  bool IsAckAlone(absl::string_view message) const override;
  void ApplyNames(DiscoveryAsk& ask) override;
  // A delta request is sent once and not repeated, so its names count whichever response it answers.
  bool StaleNamesCount() const override { return true; }
  NumberedResponse MakeNextResponse(std::span<const SecretSnapshot* const> resources) const override;
  void OnRefused(const std::string& name) override;
  bool HasMoreToTell() const override { return !removed_.empty(); }
  void OnSent() override;

  // Names to be listed as removed in the next response. All of them are subscribed to (and refused), so there are never
  // more than a stream may have names (kNamesMax), however often a client asks that does not read.
  std::set<std::string, std::less<>> removed_;
  size_t removed_charge_ = 0;  // bytes that removed_ holds of the stream's charge
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_DELTA_SECRET_STREAM_H_
