#include "sds/secret_stream.h"

#include <algorithm>

namespace meshca::sds {

void SecretStream::ApplyNames(DiscoveryAsk& ask) {
  std::vector<std::string> gone;
  for (const Slot& slot : slots()) {
    if (std::find(ask.names.begin(), ask.names.end(), slot.name.name) == ask.names.end())
      gone.push_back(slot.name.name);
  }
  for (const std::string& name : gone) Unsubscribe(name);
  for (const std::string& name : ask.names) Subscribe(name, /*again=*/false);
}

}  // namespace meshca::sds
