#include "ca/request_signing/request_signer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/kubernetes/api_refusal.h"

namespace meshca {
namespace {

std::vector<kubernetes::ListWatchOptions> ToFollow(const RequestKind& kind, const std::string& signer_name) {
  std::vector<kubernetes::ListWatchOptions> all;
  for (const std::string& version : kind.Versions()) {
    kubernetes::ListWatchOptions& options = all.emplace_back();
    options.resource = kind.ResourceOf(version);
    options.field_selector = absl::StrCat("spec.signerName=", signer_name);
    options.paths = kind.Paths();
  }
  return all;
}

}  // namespace

// Takes what the watch tells.
class RequestSigner::Sink final : public kubernetes::ObjectSink {
 public:
  explicit Sink(RequestSigner& signer) : signer_(signer) {}

  void OnListBegin() override { signer_.pending_.BeginList(); }
  void OnListEnd() override { signer_.pending_.EndList(); }
  void OnObject(const kubernetes::PickedFields& object) override {
    const RequestKind& kind = signer_.parts_.kind;
    absl::StatusOr<ApiRequestPtr> request = kind.Read(object);
    if (!request.ok()) {
      return LogWarning("a request cannot be read", {{"error", std::string(request.status().message())}});
    }
    // The selector says so too.
    if ((*request)->signer_name != signer_.options_.signer_name) return;
    if ((*request)->is_answered) return signer_.pending_.Forget((*request)->uid);
    const bool shows_less = !kind.ShownBetterBy(**request).empty();
    signer_.pending_.Keep(*std::move(request), shows_less);
    signer_.executor_.Nudge();
  }
  void OnGone(const kubernetes::PickedFields& object) override {
    const absl::StatusOr<ApiRequestPtr> request = signer_.parts_.kind.Read(object);
    if (request.ok()) signer_.pending_.Forget((*request)->uid);
  }

 private:
  RequestSigner& signer_;
};

RequestSigner::RequestSigner(RequestSignerOptions options, Parts parts)
    : options_(std::move(options)),
      parts_(parts),
      versions_(parts.kind.Versions()),
      pending_(options_.pending, parts.clock, parts.entropy),
      calls_(parts.server, options_.call_timeout),
      sink_(std::make_unique<Sink>(*this)),
      watch_(ToFollow(parts.kind, options_.signer_name), options_.look_again, parts.server, *sink_, parts.clock,
             parts.entropy),
      executor_(parts.clock) {}

RequestSigner::~RequestSigner() { Shutdown(); }

void RequestSigner::Start() {
  if (options_.duty != nullptr) executor_.AddDuty(options_.duty);
  executor_.AddDuty([this] { return Work(); });
  if (parts_.leadership != nullptr) parts_.leadership->AddListener([this] { executor_.Nudge(); });
  on_return_.emplace(parts_.server.reachability(), [this] {
    pending_.ServerReturned();
    executor_.Nudge();
  });
  watch_.Start();
  executor_.Start();
}

void RequestSigner::JudgeAgain() {
  pending_.JudgeAgain();
  executor_.Nudge();
}

// The executor's duty.
absl::Duration RequestSigner::Work() {
  watch_.Look();
  if (pending_.TakeOverflow()) watch_.ListAgain();
  const bool away = parts_.server.reachability().away();  // what is signed now could not be handed out
  const bool open = !away && (options_.gate == nullptr || options_.gate().ok());
  if (!open || !MayWrite() || watch_.unserved()) return SerialExecutor::kLook;
  for (const std::string& uid : pending_.TakeDue()) Begin(uid);
  return std::min(SerialExecutor::kLook, pending_.UntilDue());
}

void RequestSigner::Begin(const std::string& uid) {
  const std::optional<PendingRequests::Known> known = pending_.Find(uid);
  if (!known.has_value()) return Drop(uid);
  const std::string own = version();
  const std::string better = parts_.kind.ShownBetterBy(*known->request);
  std::string read_by;
  if (known->shown_by.empty() && !better.empty() && better != own) {
    read_by = better;
  } else if (known->read_first) {
    read_by = known->shown_by.empty() ? own : known->shown_by;
  }
  if (!read_by.empty()) return ReadAgain(uid, *known->request, read_by);
  Judge(uid, *known);
}

void RequestSigner::ReadAgain(const std::string& uid, const ApiRequest& request, const std::string& version) {
  const std::string elsewhere = version == this->version() ? "" : version;
  calls_.SendAndPick(kubernetes::CallToGet(parts_.kind.ResourceOf(version), request.namespace_name, request.name),
                     parts_.kind.Paths(),
                     [this, uid, elsewhere](const absl::StatusOr<kubernetes::PickedFields>& object) {
                       OnRead(uid, elsewhere, object);
                     });
}

void RequestSigner::OnRead(const std::string& uid, const std::string& elsewhere,
                           const absl::StatusOr<kubernetes::PickedFields>& object) {
  if (kubernetes::IsMissingObject(object.status()) && elsewhere.empty()) return Drop(uid);
  absl::StatusOr<ApiRequestPtr> request = object.ok() ? parts_.kind.Read(*object) : object.status();
  if (!request.ok()) return TryLater(uid, request.status(), true);
  // Another one by the same name, or somebody was first.
  if ((*request)->uid != uid || (*request)->is_answered) return Drop(uid);
  pending_.TryAnew(uid, *std::move(request), elsewhere);
  executor_.Nudge();
}

void RequestSigner::Judge(const std::string& uid, const PendingRequests::Known& known) {
  RequestVerdict verdict = parts_.kind.Judge(*known.request, version(), parts_.clock.Now());
  switch (verdict.kind) {
    case RequestVerdict::Kind::kWait: return TryLater(uid, absl::UnavailableError(verdict.why));
    case RequestVerdict::Kind::kSoon: pending_.TrySoon(uid); return executor_.Nudge();
    case RequestVerdict::Kind::kForget: return Drop(uid);
    case RequestVerdict::Kind::kAwait:
      if (pending_.Await(uid, verdict.why)) {
        LogInfo("a request waits for somebody else", {{"request", known.request->Text()}, {"why", verdict.why}});
      }
      return executor_.Nudge();
    case RequestVerdict::Kind::kRefuse: return Refuse(uid, known.request, verdict.reply);
    case RequestVerdict::Kind::kApprove:
      LogInfo("a request is approved", {{"request", known.request->Text()}, {"why", verdict.reply.why}});
      return Write(uid, verdict.reply.call, Reply::kApproval);
    case RequestVerdict::Kind::kSign: return Issue(uid, known, std::move(verdict.submitted));
  }
}

void RequestSigner::Issue(const std::string& uid, const PendingRequests::Known& known, SubmittedRequest submitted) {
  const absl::Time now = parts_.clock.Now();
  // It is recorded already, and was not taken by the API server yet.
  if (known.issued != nullptr && parts_.kind.IsFresh(*known.issued, now)) {
    return HandOut(uid, *known.request, *known.issued);
  }
  if (absl::Status ready = parts_.kind.CheckReady(now); !ready.ok()) return TryLater(uid, ready);
  {
    MutexLock lock(mutex_);
    ++issuing_;
  }
  parts_.pipeline.Submit(std::move(submitted), [this, uid](absl::StatusOr<IssuedCertificate> issued) {
    // Not on the store's thread: a chain is verified and encoded.
    executor_.Run([this, uid, issued = std::move(issued)]() mutable {
      OnIssued(uid, std::move(issued));
      MutexLock lock(mutex_);
      --issuing_;
      ended_.NotifyAll();
    });
  });
}

void RequestSigner::OnIssued(const std::string& uid, absl::StatusOr<IssuedCertificate> issued) {
  const std::optional<PendingRequests::Known> known = pending_.Find(uid);
  if (!known.has_value()) return Drop(uid);
  if (!issued.ok()) {
    const std::optional<RequestReply> refusal =
        parts_.kind.RefusalOf(*known->request, version(), issued.status(), parts_.clock.Now());
    return refusal.has_value() ? Refuse(uid, known->request, *refusal) : TryLater(uid, issued.status());
  }
  auto kept = std::make_shared<const IssuedCertificate>(*std::move(issued));
  pending_.KeepIssued(uid, kept);
  HandOut(uid, *known->request, *kept);
}

void RequestSigner::HandOut(const std::string& uid, const ApiRequest& request, const IssuedCertificate& issued) {
  const absl::StatusOr<kubernetes::ApiCall> call =
      parts_.kind.CallToAnswer(request, version(), issued, parts_.clock.Now());
  if (!call.ok()) {
    LogError("a certificate was made and is not handed out",
             {{"request", request.Text()}, {"error", std::string(call.status().message())}});
    pending_.KeepIssued(uid, nullptr);
    return TryLater(uid, call.status());
  }
  Write(uid, *call, Reply::kCertificate);
}

void RequestSigner::Refuse(const std::string& uid, const ApiRequestPtr& request, const RequestReply& reply) {
  LogWarning("a request is denied", {{"request", request->Text()}, {"why", reply.why}});
  // The watch may show the refusal, and have the request forgotten, before the call is answered.
  Write(uid, reply.call, Reply::kRefusal,
        [this, request, why = reply.why] { parts_.kind.OnRefused(*request, version(), why); });
}

void RequestSigner::Write(const std::string& uid, const kubernetes::ApiCall& call, Reply reply,
                          std::function<void()> written) {
  if (!MayWrite()) return TryLater(uid, absl::UnavailableError(parts_.leadership->WhyNot()));
  // The answer is the whole object, of which nothing is needed.
  calls_.SendAndPick(call, {}, [this, uid, reply, written = std::move(written)](const auto& answer) {
    if (answer.ok() && written != nullptr) written();
    OnWritten(uid, answer.status(), reply);
  });
}

void RequestSigner::OnWritten(const std::string& uid, const absl::Status& status, Reply reply) {
  if (kubernetes::IsMissingObject(status)) return Drop(uid);
  // By 409 or 422 the API server says too that another signer was first. So it is looked at again, whatever it says.
  if (!status.ok()) return TryLater(uid, status, true);
  if (reply == Reply::kApproval) {
    const std::optional<PendingRequests::Known> known = pending_.Find(uid);
    return known.has_value() ? ReadAgain(uid, *known->request, version()) : Drop(uid);
  }
  {
    MutexLock lock(mutex_);
    ++(reply == Reply::kRefusal ? counts_.denied : counts_.issued);
  }
  pending_.Finish(uid);
  executor_.Nudge();
}

void RequestSigner::TryLater(const std::string& uid, const absl::Status& why, bool read_first) {
  {
    MutexLock lock(mutex_);
    ++counts_.failed;
  }
  const std::optional<PendingRequests::Known> known = pending_.Find(uid);
  if (pending_.TryLater(uid, why, read_first) && known.has_value()) {
    LogWarning("a request is not answered yet",
               {{"request", known->request->Text()}, {"error", std::string(why.message())}});
  }
  executor_.Nudge();
}

void RequestSigner::Drop(const std::string& uid) {
  pending_.Drop(uid);
  executor_.Nudge();
}

RequestSignerStatus RequestSigner::Status() const {
  RequestSignerStatus status;
  {
    MutexLock lock(mutex_);
    status = counts_;
  }
  status.unserved = watch_.unserved();
  status.watching = watch_.LastError();
  status.age = status.unserved ? absl::ZeroDuration() : watch_.Age();
  PendingRequests::Summary summary = pending_.Summarize();
  status.pending = summary.pending;
  status.waits = std::move(summary.waits);
  status.awaiting = summary.awaiting;
  status.awaits = std::move(summary.awaits);
  return status;
}

void RequestSigner::Shutdown() {
  calls_.Cancel();
  on_return_.reset();
  // Before the watch: it begins new ones.
  executor_.Shutdown();
  watch_.Stop();
  calls_.AwaitEnd();
  MutexLock lock(mutex_);
  while (issuing_ > 0) ended_.Wait(mutex_);
}

}  // namespace meshca
