#include "ca/issuance/readiness.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// No DER: whoever got hold of the signature has nothing.
constexpr absl::string_view kMessage = "meshca readiness: this signature certifies nothing";

}  // namespace

absl::Status TrySignAndCommit(const AuthoritySnapshots& authorities, StoreMaintenance& store) {
  std::shared_ptr<const AuthoritySnapshot> snapshot = authorities.Current();
  if (snapshot == nullptr || snapshot->issuing == nullptr) {
    return absl::UnavailableError("no authority can sign now: see `meshca status`");
  }
  const SigningKey& key = *snapshot->issuing->key;
  auto signature = key.Sign(kMessage);
  if (!signature.ok()) return Annotate(signature.status(), "trial signature");
  absl::Status verified = key.public_key().Verify(key.signature_algorithm(), kMessage, *signature);
  if (!verified.ok()) {
    return absl::InternalError(absl::StrCat("trial signature does not verify: ", verified.message()));
  }
  return Annotate(store.Probe(), "trial commit");
}

Readiness::Readiness(const AuthoritySnapshots& authorities, StoreMaintenance& store, const Clock& clock,
                     Listener on_change, absl::Duration interval)
    : authorities_(authorities),
      store_(store),
      clock_(clock),
      on_change_(std::move(on_change)),
      interval_(interval),
      answered_at_(clock.SinceBoot()),
      thread_([this] { Run(); }) {}

Readiness::~Readiness() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
  }
  stop_changed_.NotifyAll();
  thread_.join();
}

absl::Status Readiness::Ready() const {
  absl::Duration now = clock_.SinceBoot();
  MutexLock lock(mutex_);
  // One interval between two attempts is as it should be; a second one is an attempt that hangs.
  if (answer_.ok() && now - answered_at_ > 2 * interval_) {
    return absl::UnavailableError(absl::StrCat("the last trial signature and commit was ",
                                               absl::FormatDuration(now - answered_at_),
                                               " ago: the database does not answer"));
  }
  return answer_;
}

void Readiness::Run() {
  for (;;) {
    absl::Status answer = TrySignAndCommit(authorities_, store_);
    bool changed;
    {
      MutexLock lock(mutex_);
      changed = answer != answer_;
      answer_ = answer;
      answered_at_ = clock_.SinceBoot();
    }
    if (changed && on_change_) on_change_(answer);
    MutexLock lock(mutex_);
    // A wake-up that is not the end begins the interval anew: never more attempts than promised.
    while (!stop_ && stop_changed_.WaitFor(mutex_, interval_)) {
    }
    if (stop_) return;
  }
}

}  // namespace meshca
