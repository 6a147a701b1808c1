// A cluster for tests: its pods, its tokens, and an API server that judges them as told.
#ifndef MESHCA_TEST_CA_AUTHN_FAKE_CLUSTER_H_
#define MESHCA_TEST_CA_AUTHN_FAKE_CLUSTER_H_

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authn/jwks_source.h"
#include "ca/authn/known_pods.h"
#include "ca/authn/token_reviewer.h"
#include "ca/base/mutex.h"
#include "test/ca/jwt/jwt_maker.h"

namespace meshca {

// What a watch would know. Thread-safe.
class FakePods final : public KnownPods {
 public:
  void Put(const std::string& uid, KnownPod pod) {
    MutexLock lock(mutex_);
    pods_[uid] = std::move(pod);
    ++changes_;
  }
  void PutAccount(const AccountName& account, const std::string& uid) {
    MutexLock lock(mutex_);
    if (const auto found = accounts_.find(account.Text()); found != accounts_.end() && found->second != uid) {
      gone_.insert(found->second);
    }
    accounts_[account.Text()] = uid;
    ++changes_;
  }
  // A pod or an account.
  void Delete(const std::string& uid) {
    MutexLock lock(mutex_);
    pods_.erase(uid);
    std::erase_if(accounts_, [&uid](const auto& each) { return each.second == uid; });
    gone_.insert(uid);
    ++changes_;
  }
  void SetAge(absl::Duration age) {
    MutexLock lock(mutex_);
    age_ = age;
    ++changes_;
  }

  std::optional<KnownPod> FindPod(absl::string_view uid) const override {
    MutexLock lock(mutex_);
    const auto found = pods_.find(std::string(uid));
    return found == pods_.end() ? std::nullopt : std::optional<KnownPod>(found->second);
  }
  std::string AccountUid(const AccountName& account) const override {
    MutexLock lock(mutex_);
    const auto found = accounts_.find(account.Text());
    return found == accounts_.end() ? "" : found->second;
  }
  bool IsGone(absl::string_view uid) const override {
    MutexLock lock(mutex_);
    return gone_.contains(std::string(uid));
  }
  std::vector<AccountName> AccountsOn(absl::string_view node, absl::Time now) const override {
    MutexLock lock(mutex_);
    std::vector<AccountName> accounts;
    for (const auto& [uid, pod] : pods_) {
      if (pod.node == node && Lives(pod, now) &&
          std::find(accounts.begin(), accounts.end(), pod.account) == accounts.end()) {
        accounts.push_back(pod.account);
      }
    }
    return accounts;
  }
  absl::Duration Age() const override {
    MutexLock lock(mutex_);
    return age_;
  }
  uint64_t Changes() const override {
    MutexLock lock(mutex_);
    return changes_;
  }

 private:
  mutable Mutex mutex_;
  std::map<std::string, KnownPod> pods_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> accounts_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> gone_ ABSL_GUARDED_BY(mutex_);
  absl::Duration age_ ABSL_GUARDED_BY(mutex_) = absl::Seconds(3);
  uint64_t changes_ ABSL_GUARDED_BY(mutex_) = 1;
};

// Answers at once by `answer`, or keeps what it is asked until the test answers. Thread-safe.
class FakeReviewer final : public TokenReviewer {
 public:
  using Answer = absl::StatusOr<TokenReviewAnswer>;
  void Review(absl::string_view token, const std::vector<std::string>& audiences, Done done) override {
    std::optional<Answer> now;
    {
      MutexLock lock(mutex_);
      ++calls_;
      audiences_ = audiences;
      last_token_ = std::string(token);
      if (answer_.has_value()) {
        now = answer_;
      } else {
        kept_.push_back(std::move(done));
        changed_.NotifyAll();
      }
    }
    if (now.has_value()) std::move(done)(*std::move(now));
  }
  void AnswerAtOnce(Answer answer) {
    MutexLock lock(mutex_);
    answer_ = std::move(answer);
  }
  void KeepQuestions() {
    MutexLock lock(mutex_);
    answer_.reset();
  }
  void AwaitQuestions(size_t number) {
    MutexLock lock(mutex_);
    while (kept_.size() < number) changed_.Wait(mutex_);
  }
  void AnswerFirst(Answer answer) {
    std::optional<Done> done;
    {
      MutexLock lock(mutex_);
      done = std::move(kept_.front());
      kept_.erase(kept_.begin());
    }
    (*std::move(done))(std::move(answer));
  }
  int calls() const {
    MutexLock lock(mutex_);
    return calls_;
  }
  std::vector<std::string> audiences() const {
    MutexLock lock(mutex_);
    return audiences_;
  }
  std::string last_token() const {
    MutexLock lock(mutex_);
    return last_token_;
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<Answer> answer_ ABSL_GUARDED_BY(mutex_);
  std::vector<Done> kept_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> audiences_ ABSL_GUARDED_BY(mutex_);
  std::string last_token_ ABSL_GUARDED_BY(mutex_);
};

// One service account's token, as the API server makes it, good at kJwtNow for an hour. Members may be changed.
struct PodToken {
  std::string issuer = "https://kubernetes.test";
  std::string subject = {};  // "": as the names say
  std::string audience = "istio-ca";
  std::string namespace_name = "web";
  std::string account = "front";
  std::string account_uid = "account-uid-1";
  std::string pod = "front-7d4c-x2x9p";
  std::string pod_uid = "pod-uid-1";  // "": bound to none
  std::string node = "node-1";        // "": says none, like one that is bound to no pod
  absl::Time begins = kJwtNow;
  absl::Time ends = kJwtNow + absl::Hours(1);
  std::string more = {};  // claims

  std::string Claims() const {
    return absl::StrCat(
        R"({"aud":[")", audience, R"("],"exp":)", absl::ToUnixSeconds(ends), R"(,"iat":)", absl::ToUnixSeconds(begins),
        R"(,"iss":")", issuer, R"(","kubernetes.io":{"namespace":")", namespace_name, "\"",
        node.empty() || pod_uid.empty() ? "" : absl::StrCat(R"(,"node":{"name":")", node, R"(","uid":"node-uid"})"),
        pod_uid.empty() ? "" : absl::StrCat(R"(,"pod":{"name":")", pod, R"(","uid":")", pod_uid, "\"}"),
        R"(,"serviceaccount":{"name":")", account, R"(","uid":")", account_uid, R"("}},"nbf":)",
        absl::ToUnixSeconds(begins), R"(,"sub":")", Subject(), "\"", more, "}");
  }
  std::string Subject() const {
    return subject.empty() ? absl::StrCat("system:serviceaccount:", namespace_name, ":", account) : subject;
  }
  KnownPod AsKnown() const {
    KnownPod known;
    known.name = pod;
    known.account = {namespace_name, account};
    known.node = node;
    return known;
  }
  // What a good API server says of it.
  TokenReviewAnswer AsReviewed() const {
    TokenReviewAnswer answer;
    answer.authenticated = true;
    answer.audiences = {audience};
    answer.username = Subject();
    answer.uid = account_uid;
    answer.pod_uid = pod_uid;
    return answer;
  }
};

}  // namespace meshca

#endif  // MESHCA_TEST_CA_AUTHN_FAKE_CLUSTER_H_
