#include "sds/secret_hub.h"

#include <utility>

namespace meshca::sds {

SecretHub::SecretHub(const Parts& parts)
    : trust_domain_(parts.trust_domain),
      entry_advice_(parts.entry_advice),
      clock_(*parts.clock),
      registry_(*parts.registry),
      executor_(*parts.clock),
      bundles_(*parts.trust),
      callers_({parts.authenticator, parts.certificates, parts.registry, parts.clock, &executor_}),
      keys_(
          parts.keys, *parts.svids,
          [this](const rpc::Peer& peer, Authenticator::Done done) { callers_.JudgeAgain(peer, std::move(done)); },
          parts.revocations, *parts.clock, *parts.entropy, executor_) {
  executor_.OnTick([this] { registry_.Tick(); });
  executor_.OnTick([this] { bundles_.JudgeAgain(); });
  executor_.AddDuty([this] { return registry_.CheckDeliveries(); });
}

SecretHub::~SecretHub() { Shutdown(); }

void SecretHub::Start() {
  bundles_.Start();
  executor_.Start();
}

// The ring first: what it waits for arrives by the thread.
void SecretHub::Shutdown() {
  keys_.Shutdown();
  executor_.Shutdown();
}

}  // namespace meshca::sds
