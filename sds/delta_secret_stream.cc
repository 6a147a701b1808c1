#include "sds/delta_secret_stream.h"

namespace meshca::sds {

void DeltaSecretStream::ApplyNames(DiscoveryAsk& ask) {
  for (const std::string& name : ask.unsubscribe) Unsubscribe(name);
  for (const std::string& name : ask.names) Subscribe(name, /*again=*/true);
}

}  // namespace meshca::sds
