// An agent keeps nothing of its consumers on disk: when it starts again they come back to it, and until then its CA
// remembers what it was told of them.
#ifndef MESHCA_CLI_AGENT_PROCESS_FORGETFUL_SUBSCRIBER_STORE_H_
#define MESHCA_CLI_AGENT_PROCESS_FORGETFUL_SUBSCRIBER_STORE_H_

#include <string>
#include <utility>
#include <vector>

#include "ca/subscribers/subscriber_store.h"

namespace meshca::cli {

// Saves nothing and says Ok. Thread-safe.
class ForgetfulSubscriberStore final : public SubscriberStore {
 public:
  void SaveSubscribers(std::vector<SubscriberRecord> rows, SaveDone done) override {
    std::move(done)(absl::OkStatus());
  }
  absl::StatusOr<std::vector<SubscriberRecord>> LoadSubscribers() override { return std::vector<SubscriberRecord>(); }
  void DeleteSubscribers(std::vector<std::string> instances, SaveDone done) override {
    std::move(done)(absl::OkStatus());
  }
  bool KeepsRows() const override { return false; }
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_AGENT_PROCESS_FORGETFUL_SUBSCRIBER_STORE_H_
