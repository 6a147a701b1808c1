#include "ca/authn/token_review_desk.h"

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "ca/authn/token_cache.h"
#include "ca/base/log.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// Abseil's copies of a status share a part that ThreadSanitizer cannot follow across threads: what is remembered and
// handed to several is this.
struct RememberedAnswer {
  std::string refusal;  // "": the token is good
  absl::Status ToStatus() const {
    if (refusal.empty()) return absl::OkStatus();
    return WithReason(absl::UnauthenticatedError(refusal), "TOKEN_REVIEW_REFUSED");
  }
};

absl::Status Busy(absl::string_view why) {
  return WithReason(
      absl::UnavailableError(absl::StrCat("the API server cannot be asked about this service account token now: ", why,
                                          "; nothing is wrong with the token: retry with backoff")),
      "TOKEN_REVIEWS_BUSY");
}

absl::Status NoAnswer() {
  return WithReason(
      absl::UnavailableError("the cluster's API server gave no answer about this service account token; nothing is "
                             "wrong with the token: retry with backoff, and where it goes on, `meshca check` and the "
                             "server's log say why"),
      "TOKEN_REVIEW_UNAVAILABLE");
}

}  // namespace

class TokenReviewDesk::State : public std::enable_shared_from_this<State> {
 public:
  State(TokenReviewLimits limits, std::vector<std::string> audiences, TokenReviewer& reviewer, const Clock& clock)
      : limits_(limits),
        audiences_(std::move(audiences)),
        reviewer_(reviewer),
        clock_(clock),
        answers_(limits.answers_max),
        refusals_(limits.answers_max),
        budget_(static_cast<double>(limits.burst)),
        budget_at_(clock.SinceBoot()) {}

  void Ask(Question question, absl::Time now, Done done) {
    std::optional<absl::Status> answer;
    std::optional<Call> starts;
    Done refused;
    {
      MutexLock lock(mutex_);
      answer = Known(question.token_digest, now);
      if (!answer.has_value()) {
        if (absl::Status room = CheckRoom(question); !room.ok()) answer = std::move(room);
      }
      if (answer.has_value()) {
        refused = std::move(done);
      } else {
        starts = Join(std::move(question), now, std::move(done));
      }
    }
    if (answer.has_value()) return std::move(refused)(*std::move(answer));
    if (starts.has_value()) Start(*std::move(starts));
  }

  void Stop() {
    std::vector<Asker> left;
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      for (auto& [hash, pending] : pending_) {
        std::move(pending.askers.begin(), pending.askers.end(), std::back_inserter(left));
      }
      pending_.clear();
      for (auto& lane : lanes_) lane.clear();
      askers_ = 0;
      by_source_.clear();
    }
    for (Asker& each : left) std::move(each.done)(absl::UnavailableError("the server is shutting down"));
    // Whoever is being told of an answer may use what ends next.
    MutexLock lock(mutex_);
    while (telling_ > 0) told_.Wait(mutex_);
  }

  uint64_t calls() const {
    MutexLock lock(mutex_);
    return calls_;
  }

  std::string last_error() const {
    MutexLock lock(mutex_);
    return last_error_;
  }

 private:
  struct Asker {
    std::string source;
    Done done;
  };
  // What is asked about one token.
  struct Pending {
    SecretBytes token;  // empty once the call has begun
    ServiceAccountClaims claims;
    absl::Time expires;
    absl::Time asked_at;
    absl::Duration until;  // since boot: when it must have begun
    std::vector<Asker> askers;
  };
  struct Call {
    std::string hash;
    SecretBytes token;
  };
  // By one source, of the budget.
  struct Spent {
    double calls = 0;
    absl::Duration at;  // since boot

    double LeftAt(absl::Duration now, double per_second) const {
      return std::max(0.0, calls - absl::ToDoubleSeconds(now - at) * per_second);
    }
  };

  std::optional<absl::Status> Known(const std::string& hash, absl::Time now) {
    if (auto good = answers_.Find(hash, now); good.has_value()) return good->ToStatus();
    if (auto bad = refusals_.Find(hash, now); bad.has_value()) return bad->ToStatus();
    return std::nullopt;
  }

  absl::Status CheckRoom(const Question& question) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (stopping_) return absl::UnavailableError("the server is shutting down");
    // Anybody can send a token with a signature that nobody here can verify: those leave half of everything to others.
    const size_t waiting_max = question.signature_verified ? limits_.waiting_max : limits_.waiting_max / 2;
    if (askers_ >= waiting_max) return Busy(absl::StrCat(askers_, " callers wait for its answers"));
    const auto places = by_source_.find(question.source);
    if (places != by_source_.end() && places->second >= limits_.waiting_per_source_max) {
      return Busy(absl::StrCat(places->second, " callers of this source wait for its answers"));
    }
    if (pending_.contains(question.token_digest)) return absl::OkStatus();
    return TakeFromBudget(question);
  }

  // One call, which has to leave half of them to tokens whose signature was verified if this one's was not.
  absl::Status TakeFromBudget(const Question& question) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (limits_.per_second <= 0 || (limits_.verified_freely && question.signature_verified)) return absl::OkStatus();
    const double reserve = question.signature_verified ? 0 : static_cast<double>(limits_.burst) / 2;
    const absl::Duration now = clock_.SinceBoot();
    budget_ = std::min(static_cast<double>(limits_.burst),
                       budget_ + absl::ToDoubleSeconds(now - budget_at_) * limits_.per_second);
    budget_at_ = now;
    if (budget_ < 1 + reserve) return Busy(absl::StrCat("it is asked at most ", limits_.per_second, " times a second"));
    const double of_source = SpentBy(question.source, now);
    if (of_source + 1 > std::max(1.0, static_cast<double>(limits_.burst) / 2)) {
      return Busy(
          absl::StrCat("it is asked at most ", limits_.per_second / 2, " times a second for callers of one source"));
    }
    budget_ -= 1;
    if (spent_.size() >= 2 * limits_.burst) ForgetSpent(now);
    spent_[question.source] = Spent{of_source + 1, now};
    return absl::OkStatus();
  }

  // Calls that the source still has to make up for; half of the budget's pace pays them back.
  double SpentBy(const std::string& source, absl::Duration now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto found = spent_.find(source);
    return found == spent_.end() ? 0 : found->second.LeftAt(now, limits_.per_second / 2);
  }

  // No more sources are left than calls were made lately, and these have the budget's bounds.
  void ForgetSpent(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    absl::erase_if(spent_, [&](const auto& each) { return each.second.LeftAt(now, limits_.per_second / 2) <= 0; });
  }

  // The caller's question stands from here on; what begins with it, if anything does.
  std::optional<Call> Join(Question question, absl::Time now, Done done) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ++askers_;
    ++by_source_[question.source];
    const auto [at, is_new] = pending_.try_emplace(question.token_digest);
    Pending& pending = at->second;
    pending.askers.push_back(Asker{std::move(question.source), std::move(done)});
    if (!is_new) return std::nullopt;
    pending.claims = std::move(question.claims);
    pending.expires = question.expires;
    pending.asked_at = now;
    pending.until = clock_.SinceBoot() + limits_.wait_max;
    if (under_way_ >= limits_.under_way_max) {
      pending.token = std::move(question.token);
      lanes_[question.signature_verified ? 0 : 1].push_back(std::move(question.token_digest));
      return std::nullopt;
    }
    ++under_way_;
    ++calls_;
    return Call{std::move(question.token_digest), std::move(question.token)};
  }

  void Start(Call call) {
    reviewer_.Review(call.token.reveal(), audiences_,
                     [state = shared_from_this(), hash = call.hash](absl::StatusOr<TokenReviewAnswer> answer) {
                       state->OnAnswer(hash, std::move(answer));
                     });
  }

  void OnAnswer(const std::string& hash, absl::StatusOr<TokenReviewAnswer> answer) {
    std::vector<Asker> askers;
    std::vector<Asker> late;
    std::optional<Call> next;
    std::optional<RememberedAnswer> verdict;
    {
      MutexLock lock(mutex_);
      --under_way_;
      if (stopping_) return;
      Pending pending = Leave(hash);
      last_error_ = std::string(answer.status().message());
      if (answer.ok()) {
        verdict.emplace(JudgeAndRemember(hash, pending, *answer));
      }
      askers = std::move(pending.askers);
      next = TakeNext(late);
      ++telling_;
    }
    if (!answer.ok()) SayOnce(answer.status());
    for (Asker& each : late) std::move(each.done)(Busy("too many others were asked about first"));
    for (Asker& each : askers) std::move(each.done)(verdict.has_value() ? verdict->ToStatus() : NoAnswer());
    if (next.has_value()) Start(*std::move(next));
    MutexLock lock(mutex_);
    if (--telling_ == 0) told_.NotifyAll();
  }

  RememberedAnswer JudgeAndRemember(const std::string& hash, const Pending& pending, const TokenReviewAnswer& answer) {
    const absl::Status judged = JudgeTokenReview(answer, pending.claims, audiences_);
    RememberedAnswer remembered{judged.ok() ? "" : std::string(judged.message())};
    // From when it was asked, not from when it was answered: the pod may be gone since.
    if (judged.ok()) {
      answers_.Put(hash, remembered, pending.expires, pending.asked_at, limits_.keep);
    } else {
      refusals_.Put(hash, remembered, absl::InfiniteFuture(), pending.asked_at, limits_.keep_refused);
    }
    return remembered;
  }

  Pending Leave(const std::string& hash) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto at = pending_.find(hash);
    Pending pending = std::move(at->second);
    pending_.erase(at);
    for (const Asker& each : pending.askers) {
      --askers_;
      const auto places = by_source_.find(each.source);
      if (--places->second == 0) by_source_.erase(places);
    }
    return pending;
  }

  // What is asked next; those who have waited for too long go to `late`.
  std::optional<Call> TakeNext(std::vector<Asker>& late) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const absl::Duration now = clock_.SinceBoot();
    for (auto& lane : lanes_) {
      while (!lane.empty()) {
        std::string hash = std::move(lane.front());
        lane.pop_front();
        Pending& pending = pending_.at(hash);
        if (now >= pending.until) {
          Pending gone = Leave(hash);
          std::move(gone.askers.begin(), gone.askers.end(), std::back_inserter(late));
          continue;
        }
        ++under_way_;
        ++calls_;
        return Call{std::move(hash), std::move(pending.token)};
      }
    }
    return std::nullopt;
  }

  // The log is told of each new reason, not of each call.
  void SayOnce(const absl::Status& status) {
    {
      MutexLock lock(mutex_);
      if (said_ == status.message()) return;
      said_ = std::string(status.message());
    }
    LogWarning("kubernetes: the API server was asked about a service account token and gave no answer",
               {{"error", std::string(status.message())}});
  }

  const TokenReviewLimits limits_;
  const std::vector<std::string> audiences_;
  TokenReviewer& reviewer_;
  const Clock& clock_;
  TokenCache<RememberedAnswer> answers_;
  // Apart, so that nobody pushes good answers out by sending bad tokens.
  TokenCache<RememberedAnswer> refusals_;

  mutable Mutex mutex_;
  absl::flat_hash_map<std::string, Pending> pending_ ABSL_GUARDED_BY(mutex_);   // by the token's hash
  std::array<std::deque<std::string>, 2> lanes_ ABSL_GUARDED_BY(mutex_);        // of pending_, those not begun
  absl::flat_hash_map<std::string, size_t> by_source_ ABSL_GUARDED_BY(mutex_);  // askers
  size_t askers_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t calls_ ABSL_GUARDED_BY(mutex_) = 0;
  double budget_ ABSL_GUARDED_BY(mutex_);
  absl::Duration budget_at_ ABSL_GUARDED_BY(mutex_);                       // since boot
  absl::flat_hash_map<std::string, Spent> spent_ ABSL_GUARDED_BY(mutex_);  // by source
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  CondVar told_;
  size_t telling_ ABSL_GUARDED_BY(mutex_) = 0;  // threads inside OnAnswer, after the lock
  std::string said_ ABSL_GUARDED_BY(mutex_);
  std::string last_error_ ABSL_GUARDED_BY(mutex_);
};

TokenReviewDesk::TokenReviewDesk(TokenReviewLimits limits, std::vector<std::string> audiences, TokenReviewer& reviewer,
                                 const Clock& clock)
    : state_(std::make_shared<State>(limits, std::move(audiences), reviewer, clock)) {}

TokenReviewDesk::~TokenReviewDesk() { Stop(); }

void TokenReviewDesk::Ask(Question question, absl::Time now, Done done) {
  state_->Ask(std::move(question), now, std::move(done));
}

void TokenReviewDesk::Stop() { state_->Stop(); }
uint64_t TokenReviewDesk::calls() const { return state_->calls(); }
std::string TokenReviewDesk::last_error() const { return state_->last_error(); }

}  // namespace meshca
