#include "ca/issuance/readiness.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

// No DER: whoever got hold of the signature has nothing.
constexpr absl::string_view kMessage = "meshca readiness: this signature certifies nothing";

constexpr char kNothingSigns[] = "NOTHING_SIGNS";

absl::Status CheckValid(absl::string_view what, const Certificate& certificate, absl::Time now) {
  const Validity& validity = certificate.validity();
  if (validity.Contains(now)) return absl::OkStatus();
  const bool early = now < validity.not_before;
  return absl::UnavailableError(absl::StrCat("what is signed now would not verify: ", what, " (", certificate.subject(),
                                             early ? ") is not valid before " : ") ended ",
                                             Rfc3339Text(early ? validity.not_before : validity.not_after),
                                             " by this clock: see `meshca check`"));
}

// Whether what signs is valid at `now`, and all it stands under.
// `snapshot` may be null: nothing was published yet.
absl::Status CheckSigner(const AuthoritySnapshot* snapshot, absl::Time now) {
  if (snapshot == nullptr || snapshot->issuing == nullptr) {
    return WithReason(absl::UnavailableError("no authority can sign now: see `meshca check`"), kNothingSigns);
  }
  MESHCA_RETURN_IF_ERROR(CheckValid("the issuing authority", snapshot->issuing->certificate, now));
  for (const Certificate& root : snapshot->bundle->roots) {
    if (root.spki_sha256_hex() != snapshot->issuing->root_id) continue;
    MESHCA_RETURN_IF_ERROR(CheckValid("its root", root, now));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status TrySignAndCommit(const AuthoritySnapshots& authorities, StoreMaintenance& store, absl::Time now) {
  const std::shared_ptr<const AuthoritySnapshot> snapshot = authorities.Current();
  MESHCA_RETURN_IF_ERROR(CheckSigner(snapshot.get(), now));
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
                     Listener on_change, absl::Duration interval, std::function<std::string()> why_not)
    : authorities_(authorities),
      store_(store),
      clock_(clock),
      on_change_(std::move(on_change)),
      interval_(interval),
      why_not_(std::move(why_not)),
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

absl::Status Readiness::WithWhyNot(absl::Status status) const {
  const std::string why = why_not_ ? why_not_() : "";
  if (why.empty() || ReasonOf(status) != kNothingSigns) return status;
  return absl::UnavailableError(absl::StrCat("no authority can sign now: ", why));
}

absl::Status Readiness::Ready() const {
  if (absl::Status signer = CheckSigner(authorities_.Current().get(), clock_.Now()); !signer.ok()) {
    return WithWhyNot(std::move(signer));
  }
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
    absl::Status answer = TrySignAndCommit(authorities_, store_, clock_.Now());
    const absl::Duration interval = answer.ok() ? interval_ : interval_ / kOftener;
    bool changed;
    {
      MutexLock lock(mutex_);
      changed = answer != answer_;
      answer_ = answer;
      answered_at_ = clock_.SinceBoot();
    }
    if (changed && on_change_) on_change_(WithWhyNot(answer));
    MutexLock lock(mutex_);
    // A wake-up that is not the end begins the interval anew: never more attempts than promised.
    while (!stop_ && stop_changed_.WaitFor(mutex_, interval)) {
    }
    if (stop_) return;
  }
}

}  // namespace meshca
