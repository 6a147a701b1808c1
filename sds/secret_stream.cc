#include "sds/secret_stream.h"

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"

namespace meshca::sds {

bool SecretStream::IsAckAlone(absl::string_view message) const {
  // Of the names that were refused only the hashes are here: what a request says of them is read in full.
  if (subscription().refused() > 0) return false;
  absl::InlinedVector<absl::string_view, 4> names;
  for (const Subscription::Slot& slot : subscription().slots()) names.push_back(slot.name.name);
  return IsBareAck(Protocol::kStateOfTheWorld, message, absl::AlphaNum(subscription().last_nonce()).Piece(), names);
}

void SecretStream::ApplyNames(DiscoveryAsk& ask) {
  UnsubscribeOthers(ask.names);
  for (const std::string& name : ask.names) Subscribe(name, /*again=*/false);
}

NumberedResponse SecretStream::MakeNextResponse(std::span<const SecretSnapshot* const> resources) const {
  return MakeResponseAfter(subscription().last_nonce(), Protocol::kStateOfTheWorld, resources);
}

}  // namespace meshca::sds
