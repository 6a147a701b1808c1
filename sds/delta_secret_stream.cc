#include "sds/delta_secret_stream.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace meshca::sds {
namespace {

// About what a name in the set costs besides its bytes.
constexpr size_t kRemovedCharge = 96;

}  // namespace

bool DeltaSecretStream::IsAckAlone(absl::string_view message) const {
  return IsBareAck(Protocol::kDelta, message, absl::AlphaNum(subscription().last_nonce()).Piece(), {});
}

void DeltaSecretStream::ApplyNames(DiscoveryAsk& ask) {
  for (const std::string& name : ask.unsubscribe) {
    if (removed_.erase(name) > 0) {
      removed_charge_ -= kRemovedCharge + name.size();
      Uncharge(kRemovedCharge + name.size());
    }
    Unsubscribe(name);
  }
  for (const std::string& name : ask.names) Subscribe(name, /*again=*/true);
}

NumberedResponse DeltaSecretStream::MakeNextResponse(std::span<const SecretSnapshot* const> resources) const {
  const std::vector<std::string> removed(removed_.begin(), removed_.end());
  return MakeResponseAfter(subscription().last_nonce(), Protocol::kDelta, resources, removed);
}

void DeltaSecretStream::OnRefused(const std::string& name) {
  if (removed_.contains(name) || !Charge(kRemovedCharge + name.size())) return;
  removed_charge_ += kRemovedCharge + name.size();
  removed_.insert(name);
}

void DeltaSecretStream::OnSent() {
  removed_.clear();
  Uncharge(std::exchange(removed_charge_, 0));
}

}  // namespace meshca::sds
