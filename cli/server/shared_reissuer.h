// How a rotation of the root puts keys under the new one: those that this process holds and those of nodes' agents.
#ifndef MESHCA_CLI_SERVER_SHARED_REISSUER_H_
#define MESHCA_CLI_SERVER_SHARED_REISSUER_H_

#include <atomic>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "ca/agents/agent_registry.h"
#include "ca/authority/key_reissuer.h"

namespace meshca::cli {

// Parts the budget between the two by what each has left. Thread-safe.
class SharedReissuer final : public KeyReissuer {
 public:
  // Both outlive it.
  SharedReissuer(KeyReissuer& own, AgentRegistry& agents) : own_(own), agents_(agents) {}

  Progress Reissue(absl::FunctionRef<bool(absl::string_view authority_id)> stale, double per_second) override;

 private:
  KeyReissuer& own_;
  AgentRegistry& agents_;
  std::atomic<uint64_t> own_left_ = 0;  // at the last call; 0: nobody was asked, or nothing was
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_SHARED_REISSUER_H_
