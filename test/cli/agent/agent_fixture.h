// What the tests of cli/agent share.
#ifndef MESHCA_TEST_CLI_AGENT_AGENT_FIXTURE_H_
#define MESHCA_TEST_CLI_AGENT_AGENT_FIXTURE_H_

#include <deque>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/clock.h"
#include "ca/base/check.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"
#include "cli/agent/ca_caller.h"
#include "cli/agent/own_identity.h"
#include "test/fakes/agent_authority.h"
#include "test/fakes/awaited_counter.h"

namespace meshca::agent {

// The machine's clock, believed. Thread-safe.
class TrustingClock final : public JudgedClock {
 public:
  absl::Time Now() const override { return SystemClock().Now(); }
  absl::Duration SinceBoot() const override { return SystemClock().SinceBoot(); }
  std::string BootId() const override { return SystemClock().BootId(); }
  std::optional<absl::Time> BelievedNow() const override { return Now(); }
  absl::Time LikelyNow() const override { return Now(); }
  bool MayMake() const override { return true; }
};

inline OwnIdentityPtr MakeAgent(const AuthorityKeys& keys, const std::string& node = "node-1",
                                absl::Duration lifetime = absl::Hours(24), absl::Time now = absl::Now()) {
  std::shared_ptr<const SoftwareKey> key = *SoftwareKey::Generate(KeyType::kEcP256);
  std::vector<Certificate> chain;
  const std::string id = "spiffe://cluster.local/meshca/agent/" + node;
  for (std::string& der : keys.Leaf(key->public_key(), id, {}, lifetime, now)) {
    chain.push_back(*Certificate::Parse(Der(std::move(der))));
  }
  return *MakeOwnIdentity(std::move(key), *CertificateChain::Make(chain));
}

// A CA whose calls the test answers by hand. Thread-safe.
class HandCaller final : public CaCaller {
 public:
  void Call(const char* method, std::string request, Done done) override {
    {
      MutexLock lock(mutex_);
      calls_.push_back({method, std::move(request), std::move(done)});
    }
    called.Add();
  }

  // The oldest call that has no answer yet.
  std::string request() {
    MutexLock lock(mutex_);
    MESHCA_CHECK(!calls_.empty());
    return calls_.front().request;
  }
  template <typename Message>
  Message Read() {
    Message message;
    MESHCA_CHECK(message.ParseFromString(request()));
    return message;
  }
  void Answer(absl::StatusOr<std::string> response) {
    std::optional<OneCall> call;
    {
      MutexLock lock(mutex_);
      MESHCA_CHECK(!calls_.empty());
      call = std::move(calls_.front());
      calls_.pop_front();
    }
    std::move(call->done)(std::move(response));
  }
  size_t open() {
    MutexLock lock(mutex_);
    return calls_.size();
  }

  AwaitedCounter called;

 private:
  struct OneCall {
    std::string method, request;
    Done done;
  };
  Mutex mutex_;
  std::deque<OneCall> calls_ ABSL_GUARDED_BY(mutex_);
};

// A value that another thread gives once; waited for up to a minute.
template <typename T>
class Awaited {
 public:
  auto Setter() {
    return [promise = promise_](T value) { promise->set_value(std::move(value)); };
  }
  T Get() {
    auto future = promise_->get_future();
    MESHCA_CHECK(future.wait_for(std::chrono::minutes(1)) == std::future_status::ready);
    return future.get();
  }

 private:
  const std::shared_ptr<std::promise<T>> promise_ = std::make_shared<std::promise<T>>();
};

}  // namespace meshca::agent

#endif  // MESHCA_TEST_CLI_AGENT_AGENT_FIXTURE_H_
