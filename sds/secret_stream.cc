#include "sds/secret_stream.h"

namespace meshca::sds {

void SecretStream::ApplyNames(DiscoveryAsk& ask) {
  UnsubscribeOthers(ask.names);
  for (const std::string& name : ask.names) Subscribe(name, /*again=*/false);
}

}  // namespace meshca::sds
