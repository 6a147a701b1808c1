#include "ca/pod_certificates/pod_certificate_signer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/kubernetes/api_refusal.h"
#include "ca/pod_certificates/admission_guard.h"
#include "ca/pod_certificates/denial_event.h"
#include "ca/pod_certificates/pod_certificate_terms.h"
#include "ca/x509/chain_verifier.h"

namespace meshca {
namespace {

constexpr size_t kAnswerBytesMax = 1024 * 1024;
// Attempts after which a request is spoken of: by then it is no watch that lags by a moment.
constexpr int kSpokenOf = 5;
constexpr int kDoublingsMax = 16;
// A certificate that could not be written is written again while the API server would still take it: kNotBeforeNear,
// and a little less.
constexpr absl::Duration kWritable = absl::Seconds(285);

kubernetes::ListWatchOptions ToFollowRequests(absl::string_view version, absl::string_view signer_name) {
  kubernetes::ListWatchOptions options;
  options.resource = PodCertificateRequests(version);
  options.field_selector = absl::StrCat("spec.signerName=", signer_name);
  options.paths = PodRequestPaths();
  return options;
}

absl::Duration AskedWait(const absl::Status& status) {
  const std::optional<kubernetes::ApiRefusal> refusal = kubernetes::RefusalOf(status);
  return refusal.has_value() ? refusal->retry_after : absl::ZeroDuration();
}

}  // namespace

// A request that is not answered yet, or whose answer was written and not seen yet.
struct PodCertificateSigner::Pending {
  enum class Stage { kDue, kUnderWay, kDone };

  PodRequest request;
  Stage stage = Stage::kDue;
  uint64_t list = 0;                     // that it was seen in last
  absl::Duration due;                    // since boot
  int failures = 0;                      // in a row
  bool read_first = false;               // what is known of it may be old
  bool key_looked_for = false;           // by the other version of the API
  std::string why;                       // it is not answered yet
  std::optional<PodCertificate> issued;  // not written yet
};

// Takes what the watch tells.
class PodCertificateSigner::Requests final : public kubernetes::ObjectSink {
 public:
  explicit Requests(PodCertificateSigner& signer) : signer_(signer) {}

  void OnListBegin() override {
    MutexLock lock(signer_.mutex_);
    ++signer_.list_;
    signer_.overflowed_ = false;
  }
  void OnListEnd() override {
    MutexLock lock(signer_.mutex_);
    for (auto one = signer_.pending_.begin(); one != signer_.pending_.end();) {
      const auto next = std::next(one);
      if (one->second.list != signer_.list_) {
        signer_.due_.erase({one->second.due, one->first});
        signer_.pending_.erase(one);
      }
      one = next;
    }
  }
  void OnObject(const kubernetes::PickedFields& object) override {
    absl::StatusOr<PodRequest> request = ReadPodRequest(object);
    if (!request.ok())
      return LogWarning("a request cannot be read", {{"error", std::string(request.status().message())}});
    // The selector says so too.
    if (request->signer_name != signer_.options_.signer_name) return;
    if (request->is_answered) return signer_.Forget(request->uid);
    Keep(*std::move(request));
  }
  void OnGone(const kubernetes::PickedFields& object) override {
    if (const absl::StatusOr<PodRequest> request = ReadPodRequest(object); request.ok()) signer_.Forget(request->uid);
  }

 private:
  void Keep(PodRequest request) {
    MutexLock lock(signer_.mutex_);
    const auto known = signer_.pending_.find(request.uid);
    if (known != signer_.pending_.end()) {
      known->second.list = signer_.list_;
      if (known->second.stage == Pending::Stage::kDue && known->second.request.HasKey() == request.HasKey()) {
        known->second.request = std::move(request);
      }
      return;
    }
    if (signer_.pending_.size() >= signer_.options_.pending_max) {
      signer_.overflowed_ = true;
      return;
    }
    const std::string uid = request.uid;
    Pending& pending = signer_.pending_[uid];
    pending.list = signer_.list_;
    pending.request = std::move(request);
    pending.due = signer_.parts_.clock.SinceBoot();
    signer_.due_.emplace(pending.due, uid);
    signer_.executor_.Nudge();
  }

  PodCertificateSigner& signer_;
};

PodCertificateSigner::PodCertificateSigner(PodSignerOptions options, Parts parts)
    : options_(std::move(options)),
      parts_(parts),
      requests_(std::make_unique<Requests>(*this)),
      admission_(options_.without_policy ? absl::OkStatus()
                                         : absl::UnavailableError("the admission policy is being looked for")),
      executor_(parts.clock) {}

PodCertificateSigner::~PodCertificateSigner() { Shutdown(); }

void PodCertificateSigner::Start() {
  executor_.AddDuty([this] { return Work(); });
  if (parts_.leadership != nullptr) parts_.leadership->AddListener([this] { executor_.Nudge(); });
  Follow(0);
  executor_.Start();
}

void PodCertificateSigner::Follow(size_t version) {
  auto watch =
      std::make_shared<kubernetes::ListWatch>(ToFollowRequests(options_.versions[version], options_.signer_name),
                                              parts_.server, *requests_, parts_.clock, parts_.entropy);
  MutexLock lock(mutex_);
  version_ = version;
  watch_ = std::move(watch);
}

// The executor's duty.
absl::Duration PodCertificateSigner::Work() {
  LookForServedVersion();
  LookForGuard();
  if (!MayWrite()) return SerialExecutor::kLook;
  std::vector<std::string> due;
  absl::Duration next = SerialExecutor::kLook;
  {
    MutexLock lock(mutex_);
    if (stopping_ || watch_ == nullptr || !admission_.ok()) return SerialExecutor::kLook;
    const absl::Duration now = parts_.clock.SinceBoot();
    due = TakeDue(now);
    // An attempt that ends nudges, so a full house needs no time.
    if (!due_.empty() && under_way_ < options_.at_once) next = due_.begin()->first - now;
  }
  for (const std::string& uid : due) Begin(uid);
  return std::max(next, absl::ZeroDuration());
}

std::vector<std::string> PodCertificateSigner::TakeDue(absl::Duration now) {
  std::vector<std::string> taken;
  while (under_way_ < options_.at_once && !due_.empty() && due_.begin()->first <= now) {
    taken.push_back(due_.begin()->second);
    due_.erase(due_.begin());
    pending_[taken.back()].stage = Pending::Stage::kUnderWay;
    ++under_way_;
  }
  return taken;
}

// A list of what is not served is answered by NotFound.
void PodCertificateSigner::LookForServedVersion() {
  const std::shared_ptr<kubernetes::ListWatch> following = watch();
  if (following == nullptr) {
    if (parts_.clock.SinceBoot() >= look_again_) Follow(0);
    return;
  }
  bool list_again = false;
  size_t next = 0;
  {
    MutexLock lock(mutex_);
    next = version_ + 1;
    list_again = overflowed_ && pending_.size() < options_.pending_max / 2;
    if (list_again) overflowed_ = false;
  }
  if (!absl::IsNotFound(following->LastError())) {
    if (list_again) {
      following->Stop();
      return Follow(next - 1);
    }
    if (following->lists() == 0) return;
    MutexLock lock(mutex_);
    unserved_ = false;
    return;
  }
  following->Stop();
  if (next < options_.versions.size()) return Follow(next);
  look_again_ = parts_.clock.SinceBoot() + options_.look_again;
  MutexLock lock(mutex_);
  watch_ = nullptr;
  if (std::exchange(unserved_, true)) return;
  LogWarning("the API server serves no PodCertificateRequests: none is answered",
             {{"signer", options_.signer_name}, {"error", std::string(following->LastError().message())}});
}

void PodCertificateSigner::LookForGuard() {
  {
    MutexLock lock(mutex_);
    if (options_.without_policy || looking_ || stopping_ || parts_.clock.SinceBoot() < look_at_guard_) return;
    looking_ = true;
  }
  Send(CallToGetAdmissionPolicy(), [this](absl::StatusOr<std::string> policy) {
    if (!policy.ok()) return JudgeGuard(std::move(policy), absl::UnknownError("not looked for"));
    Send(CallToGetAdmissionBinding(), [this, policy = std::move(policy)](absl::StatusOr<std::string> binding) mutable {
      JudgeGuard(std::move(policy), std::move(binding));
    });
  });
}

void PodCertificateSigner::JudgeGuard(absl::StatusOr<std::string> policy, absl::StatusOr<std::string> binding) {
  const absl::StatusOr<absl::Time> guarded_since = JudgeAdmission(policy, binding, options_.signer_name);
  const absl::Status& verdict = guarded_since.status();
  MutexLock lock(mutex_);
  looking_ = false;
  // While the API server is away nobody can create a request either, nor could an answer be written.
  const bool unanswered = absl::IsUnavailable(verdict) && admission_.ok() && !kubernetes::RefusalOf(policy.status()) &&
                          !kubernetes::RefusalOf(binding.status());
  look_at_guard_ = parts_.clock.SinceBoot() + (verdict.ok() ? options_.guard_every : options_.guard_retry);
  if (unanswered) return;
  if (!verdict.ok() && verdict != admission_) {
    LogError("no PodCertificateRequest is answered",
             {{"signer", options_.signer_name}, {"error", std::string(verdict.message())}});
  }
  if (verdict.ok() && !admission_.ok()) LogInfo("pods' certificates are signed", {{"signer", options_.signer_name}});
  admission_ = verdict;
  if (guarded_since.ok()) guarded_since_ = *guarded_since;
  executor_.Nudge();
}

std::optional<PodRequest> PodCertificateSigner::RequestOf(const std::string& uid) const {
  MutexLock lock(mutex_);
  const auto known = pending_.find(uid);
  if (known == pending_.end()) return std::nullopt;
  return known->second.request;
}

void PodCertificateSigner::Begin(const std::string& uid) {
  std::optional<PodRequest> request;
  std::string read_by;
  {
    MutexLock lock(mutex_);
    const auto known = pending_.find(uid);
    if (known != pending_.end()) {
      request = known->second.request;
      const std::string& own = options_.versions[version_];
      if (!request->HasKey() && !known->second.key_looked_for && own == "v1") read_by = "v1beta1";
      if (read_by.empty() && known->second.read_first) read_by = own;
    }
  }
  if (!request.has_value()) return Drop(uid);
  if (!read_by.empty()) return ReadAgain(uid, *request, read_by);
  Judge(uid, *request);
}

void PodCertificateSigner::ReadAgain(const std::string& uid, const PodRequest& request, const std::string& version) {
  const bool by_own_version = version == this->version();
  Send(kubernetes::CallToGet(PodCertificateRequests(version), request.namespace_name, request.name),
       [this, uid, by_own_version](const absl::StatusOr<std::string>& json) { OnRead(uid, by_own_version, json); });
}

void PodCertificateSigner::OnRead(const std::string& uid, bool by_own_version,
                                  const absl::StatusOr<std::string>& json) {
  if (absl::IsNotFound(json.status()) && by_own_version) return Drop(uid);
  if (!json.ok()) return TryLater(uid, json.status(), true);
  const absl::StatusOr<kubernetes::PickedFields> object = kubernetes::PickFields(*json, PodRequestPaths());
  absl::StatusOr<PodRequest> request = object.ok() ? ReadPodRequest(*object) : object.status();
  if (!request.ok()) return TryLater(uid, request.status(), true);
  // Another one by the same name, or somebody was first.
  if (request->uid != uid || request->is_answered) return Drop(uid);
  MutexLock lock(mutex_);
  --under_way_;
  executor_.Nudge();
  const auto known = pending_.find(uid);
  if (known == pending_.end()) return;
  Pending& pending = known->second;
  pending.request = *std::move(request);
  pending.read_first = false;
  pending.key_looked_for = pending.key_looked_for || !by_own_version;
  pending.stage = Pending::Stage::kDue;
  pending.due = parts_.clock.SinceBoot();
  due_.emplace(pending.due, uid);
}

void PodCertificateSigner::Judge(const std::string& uid, const PodRequest& request) {
  PodFacts facts = FactsOf(request, parts_.pods);
  {
    MutexLock lock(mutex_);
    facts.guarded_since = guarded_since_;
  }
  PodVerdict verdict = JudgePodRequest(request, facts, options_.spiffe_id, options_.profile, parts_.clock.Now());
  switch (verdict.kind) {
    case PodVerdict::Kind::kWait: return TryLater(uid, absl::UnavailableError(verdict.why));
    case PodVerdict::Kind::kForget: return Drop(uid);
    case PodVerdict::Kind::kDeny: return Deny(uid, request, verdict.denial);
    case PodVerdict::Kind::kSign: return Issue(uid, std::move(verdict.submitted));
  }
}

void PodCertificateSigner::Issue(const std::string& uid, SubmittedRequest submitted) {
  const absl::Time now = parts_.clock.Now();
  std::optional<PodCertificate> made;
  PodRequest request;
  {
    MutexLock lock(mutex_);
    const auto known = pending_.find(uid);
    if (known != pending_.end() && known->second.issued.has_value() &&
        now - known->second.issued->validity.not_before < kWritable) {
      made = known->second.issued;
      request = known->second.request;
    }
  }
  // It is recorded already, and was not taken by the API server yet.
  if (made.has_value()) return WriteIssued(uid, request, *made);
  if (absl::Status lasts = CheckAuthorityLasts(*parts_.authorities.Current(), options_.profile, now); !lasts.ok()) {
    return TryLater(uid, lasts);
  }
  {
    MutexLock lock(mutex_);
    ++issuing_;
  }
  parts_.pipeline.Submit(std::move(submitted), [this, uid](absl::StatusOr<IssuedCertificate> issued) {
    // Not on the store's thread: a chain is verified and encoded.
    executor_.Run([this, uid, issued = std::move(issued)] {
      OnIssued(uid, issued);
      MutexLock lock(mutex_);
      --issuing_;
      ended_.NotifyAll();
    });
  });
}

void PodCertificateSigner::OnIssued(const std::string& uid, const absl::StatusOr<IssuedCertificate>& issued) {
  const std::optional<PodRequest> request = RequestOf(uid);
  if (!request.has_value()) return Drop(uid);
  if (!issued.ok()) {
    const std::optional<PodDenial> denial = DenialOf(issued.status(), options_.profile);
    return denial.has_value() ? Deny(uid, *request, *denial) : TryLater(uid, issued.status());
  }
  absl::StatusOr<PodCertificate> certificate = Check(*issued, request->max_expiration);
  if (!certificate.ok()) {
    LogError("a pod's certificate was made and is not handed out",
             {{"request", request->Text()}, {"error", std::string(certificate.status().message())}});
    return TryLater(uid, certificate.status());
  }
  {
    MutexLock lock(mutex_);
    if (const auto known = pending_.find(uid); known != pending_.end()) known->second.issued = *certificate;
  }
  WriteIssued(uid, *request, *certificate);
}

// The API server takes a chain that leads nowhere, and the pod's peers would refuse it.
absl::StatusOr<PodCertificate> PodCertificateSigner::Check(const IssuedCertificate& issued,
                                                           absl::Duration max_expiration) const {
  const absl::Time now = parts_.clock.Now();
  MESHCA_ASSIGN_OR_RETURN(const Certificate leaf, issued.chain.ParseLeaf());
  MESHCA_RETURN_IF_ERROR(CheckPodValidity(leaf.validity(), max_expiration, now));
  std::vector<absl::string_view> chain = {issued.chain.leaf().bytes()};
  for (const Certificate& issuer : issued.chain.issuers()) chain.push_back(issuer.der().bytes());
  const TrustBundle& bundle = *issued.authorities->bundle;
  MESHCA_RETURN_IF_ERROR(
      ChainVerifier(bundle.trust_domain, bundle.roots).Verify(chain, now, PeerRole::kServer).status());
  return PodCertificate{issued.chain.ToPem(), leaf.validity(),
                        BeginRefreshAt(leaf.validity(), RootIsBeingLeft(*issued.authorities))};
}

void PodCertificateSigner::WriteIssued(const std::string& uid, const PodRequest& request,
                                       const PodCertificate& certificate) {
  if (!MayWrite()) return TryLater(uid, absl::UnavailableError(parts_.leadership->WhyNot()));
  Send(CallToIssue(version(), request, certificate, parts_.clock.Now()),
       [this, uid](const absl::StatusOr<std::string>& answer) { OnWritten(uid, answer.status(), false); });
}

void PodCertificateSigner::Deny(const std::string& uid, const PodRequest& request, const PodDenial& denial) {
  if (!MayWrite()) return TryLater(uid, absl::UnavailableError(parts_.leadership->WhyNot()));
  LogWarning("a PodCertificateRequest is denied",
             {{"request", request.Text()}, {"reason", denial.reason}, {"why", denial.message}});
  Send(CallToDeny(version(), request, denial, parts_.clock.Now()),
       [this, uid, request, denial](const absl::StatusOr<std::string>& answer) {
         if (answer.ok()) TellDenied(version(), request, denial, parts_.pods, parts_.events);
         OnWritten(uid, answer.status(), true);
       });
}

void PodCertificateSigner::OnWritten(const std::string& uid, const absl::Status& status, bool is_denial) {
  if (absl::IsNotFound(status)) return Drop(uid);
  // By 409 or 422 the API server says too that another signer was first. So it is looked at again, whatever it says.
  if (!status.ok()) return TryLater(uid, status, true);
  MutexLock lock(mutex_);
  --under_way_;
  ++(is_denial ? counts_.denied : counts_.issued);
  // Kept until the watch shows the answer: an event from before it must not begin it anew.
  if (const auto known = pending_.find(uid); known != pending_.end()) known->second.stage = Pending::Stage::kDone;
  executor_.Nudge();
}

void PodCertificateSigner::TryLater(const std::string& uid, const absl::Status& why, bool read_first) {
  MutexLock lock(mutex_);
  --under_way_;
  ++counts_.failed;
  executor_.Nudge();
  const auto known = pending_.find(uid);
  if (known == pending_.end()) return;
  Pending& pending = known->second;
  pending.stage = Pending::Stage::kDue;
  pending.read_first = pending.read_first || read_first;
  pending.why = std::string(why.message());
  const int doublings = std::min(pending.failures++, kDoublingsMax);
  const absl::Duration longest = std::min(options_.retry_last, options_.retry_first * (1 << doublings));
  pending.due =
      parts_.clock.SinceBoot() + std::max(AskedWait(why), UniformDuration(parts_.entropy, longest / 2, longest));
  due_.emplace(pending.due, uid);
  if (pending.failures == kSpokenOf) {
    LogWarning("a pod's certificate is not signed yet", {{"request", pending.request.Text()}, {"error", pending.why}});
  }
}

void PodCertificateSigner::Drop(const std::string& uid) {
  {
    MutexLock lock(mutex_);
    --under_way_;
    executor_.Nudge();
  }
  Forget(uid);
}

void PodCertificateSigner::Forget(const std::string& uid) {
  MutexLock lock(mutex_);
  const auto known = pending_.find(uid);
  if (known == pending_.end()) return;
  due_.erase({known->second.due, uid});
  pending_.erase(known);
}

void PodCertificateSigner::Send(const kubernetes::ApiCall& call, Answered done) {
  uint64_t number = 0;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    number = ++calls_made_;
    calls_.emplace(number, std::nullopt);
  }
  const kubernetes::ApiServer::CallId id =
      parts_.server.Send(call, kAnswerBytesMax, options_.call_timeout,
                         [this, number, done = std::move(done)](absl::StatusOr<std::string> answer) mutable {
                           std::move(done)(std::move(answer));
                           MutexLock lock(mutex_);
                           calls_.erase(number);
                           ended_.NotifyAll();
                         });
  bool ends = false;
  {
    MutexLock lock(mutex_);
    const auto under_way = calls_.find(number);
    if (under_way == calls_.end()) return;  // it has ended by now
    under_way->second = id;
    ends = stopping_;
  }
  if (ends) parts_.server.Cancel(id);
}

std::string PodCertificateSigner::version() const {
  MutexLock lock(mutex_);
  return options_.versions[version_];
}

std::shared_ptr<kubernetes::ListWatch> PodCertificateSigner::watch() const {
  MutexLock lock(mutex_);
  return watch_;
}

PodSignerStatus PodCertificateSigner::Status() const {
  const std::shared_ptr<kubernetes::ListWatch> following = watch();
  MutexLock lock(mutex_);
  PodSignerStatus status = counts_;
  status.signer_name = options_.signer_name;
  status.unserved = unserved_;
  status.admission = admission_;
  if (following != nullptr) {
    status.watching = following->LastError();
    status.age = following->Age();
  }
  for (const auto& [uid, pending] : pending_) {
    if (pending.stage == Pending::Stage::kDone) continue;
    ++status.pending;
    if (pending.failures >= kSpokenOf && status.waits.empty()) {
      status.waits = absl::StrCat(pending.request.Text(), ": ", pending.why);
    }
  }
  return status;
}

void PodCertificateSigner::Shutdown() {
  std::vector<kubernetes::ApiServer::CallId> under_way;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    for (const auto& [number, call] : calls_) {
      if (call.has_value()) under_way.push_back(*call);
    }
  }
  for (const kubernetes::ApiServer::CallId call : under_way) parts_.server.Cancel(call);
  // Before the watch: it begins new ones.
  executor_.Shutdown();
  if (const std::shared_ptr<kubernetes::ListWatch> following = watch(); following != nullptr) following->Stop();
  MutexLock lock(mutex_);
  while (!calls_.empty() || issuing_ > 0) ended_.Wait(mutex_);
}

}  // namespace meshca
