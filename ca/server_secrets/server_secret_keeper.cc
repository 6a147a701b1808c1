#include "ca/server_secrets/server_secret_keeper.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/kubernetes/api_call.h"
#include "ca/kubernetes/api_refusal.h"

namespace meshca {
namespace {

// A watch of which nothing came for longer is not followed (ListWatchOptions::silence, and some time to notice).
constexpr absl::Duration kSecretFollowed = absl::Seconds(100);
// Whoever may write the Secret could fill the log.
constexpr absl::Duration kReplacingWarningGap = absl::Seconds(10);
constexpr int kIssueDoublingsMax = 16;
// The ledger's one place.
constexpr char kThePlace[] = "";

// By its name alone: a Role can give rights to one Secret where the selector names it.
kubernetes::ListWatchOptions ToFollowSecret(const ServerSecretName& secret) {
  kubernetes::ListWatchOptions options;
  options.resource = kubernetes::Secrets();
  options.namespace_name = secret.namespace_name;
  options.field_selector = absl::StrCat("metadata.name=", secret.name);
  options.granted_for = secret.name;
  options.paths = ServerSecretPaths();
  return options;
}

SecretContent CopyOf(const SecretContent& content) {
  return {content.chain_pem, content.key_pem.Clone(), content.roots_pem};
}

}  // namespace

// Takes what the watch tells.
class ServerSecretKeeper::Sink final : public kubernetes::ObjectSink {
 public:
  explicit Sink(ServerSecretKeeper& keeper) : keeper_(keeper) {}

  void OnListBegin() override {
    MutexLock lock(keeper_.mutex_);
    there_ = false;
    keeper_.ledger_.BeginSeen();
  }
  void OnListEnd() override {
    MutexLock lock(keeper_.mutex_);
    if (!there_) ForgetLocked();
    keeper_.ledger_.EndSeen(keeper_.parts_.clock.SinceBoot());
    keeper_.listed_ = true;
    keeper_.executor_.Nudge();
  }
  void OnObject(const kubernetes::PickedFields& object) override {
    SeenSecret seen = ReadServerSecret(object);
    std::string digest = seen.content.Digest();
    keeper_.early_pods_.OnThere(seen.there_since);
    MutexLock lock(keeper_.mutex_);
    there_ = true;
    keeper_.namespace_missing_ = false;
    keeper_.seen_is_new_ |= digest != keeper_.seen_digest_;
    keeper_.ledger_.Seen(kThePlace, digest, keeper_.parts_.clock.SinceBoot(),
                         seen.IsMarked(keeper_.early_pods_.ThereSince()));
    keeper_.seen_ = std::move(seen);
    keeper_.seen_digest_ = std::move(digest);
    keeper_.executor_.Nudge();
  }
  void OnGone(const kubernetes::PickedFields&) override {
    MutexLock lock(keeper_.mutex_);
    ForgetLocked();
    keeper_.ledger_.SeenGone(kThePlace, keeper_.parts_.clock.SinceBoot());
    keeper_.executor_.Nudge();
  }

 private:
  void ForgetLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(keeper_.mutex_) {
    keeper_.seen_.reset();
    keeper_.seen_digest_.clear();
    keeper_.seen_is_new_ = false;
  }

  ServerSecretKeeper& keeper_;
  bool there_ = false;  // in the list that is being read
};

ServerSecretKeeper::ServerSecretKeeper(ServerSecretOptions options, Parts parts)
    : options_(std::move(options)),
      parts_(parts),
      instance_(options_.secret.Text()),
      since_(parts.clock.LikelyNow()),
      sink_(std::make_unique<Sink>(*this)),
      ledger_(options_.publication),
      early_pods_({.secret = options_.secret,
                   .labels = options_.pods,
                   .every = options_.early_every,
                   .call_timeout = options_.call_timeout},
                  parts.server, parts.clock),
      executor_(parts.clock),
      writes_(parts.server, options_.call_timeout) {
  MutexLock lock(mutex_);
  ledger_.BeginPlaces();
  ledger_.AddPlace(kThePlace, parts_.clock.SinceBoot());
  ledger_.EndPlaces();
}

ServerSecretKeeper::~ServerSecretKeeper() { Shutdown(); }

void ServerSecretKeeper::Start() {
  executor_.AddDuty([this] { return Work(); });
  watch_ = std::make_unique<kubernetes::ListWatch>(ToFollowSecret(options_.secret), parts_.server, *sink_, parts_.clock,
                                                   parts_.entropy);
  if (parts_.leadership != nullptr) parts_.leadership->AddListener([this] { executor_.Nudge(); });
  on_return_.emplace(parts_.server.reachability(), [this] {
    MutexLock lock(mutex_);
    ledger_.ServerReturned(parts_.clock.SinceBoot());
    executor_.Nudge();
  });
  executor_.Start();
}

void ServerSecretKeeper::SetRoots(TrustVersion version, std::string pem) {
  MutexLock lock(mutex_);
  version_ = version;
  roots_pem_ = std::move(pem);
  SetContent();
  executor_.Nudge();
}

absl::Duration ServerSecretKeeper::Work() {
  const std::shared_ptr<const AuthoritySnapshot> authorities = parts_.authorities.Current();
  const absl::Duration unheard = Unheard();
  {
    MutexLock lock(mutex_);
    // Before it is known what stands there nothing is made: it may be good.
    if (stopping_ || !listed_ || roots_pem_.empty() || authorities == nullptr) return SerialExecutor::kLook;
    if (LeafIsHeld(Published(unheard), unheard)) held_authority_ = leaf_->authority_id;
  }
  const absl::Status judged = JudgeWhatStands(*authorities);
  {
    MutexLock lock(mutex_);
    judge_fault_ =
        judged.ok() ? "" : absl::StrCat("nobody can say whether what stands there is good: ", judged.message());
  }
  if (!judged.ok()) return SerialExecutor::kLook;
  // What is made while the API server is away could not be handed out, and may be replaced before it can.
  const bool may_write = MayWrite() && !parts_.server.reachability().away();
  if (may_write) MakeAndWrite(authorities);
  early_pods_.Look();
  if (!may_write || !MayWrite()) return SerialExecutor::kLook;
  MutexLock lock(mutex_);
  return std::clamp(ledger_.NextDue() - parts_.clock.SinceBoot(), absl::ZeroDuration(), SerialExecutor::kLook);
}

// Takes what stands in the Secret for what is to stand there, where it is good and newer than what is known to be. An
// error: nobody can say so for now.
absl::Status ServerSecretKeeper::JudgeWhatStands(const AuthoritySnapshot& authorities) {
  SecretContent content;
  {
    MutexLock lock(mutex_);
    if (!std::exchange(seen_is_new_, false) || !seen_.has_value()) return absl::OkStatus();
    if (leaf_.has_value() && leaf_->chain_pem == seen_->content.chain_pem) return absl::OkStatus();
    content = CopyOf(seen_->content);
  }
  absl::StatusOr<StandingLeaf> read = ReadStandingLeaf(content, authorities);
  std::string why(read.status().message());
  if (read.ok()) {
    const std::optional<SerialNumber> serial = read->leaf.serial();
    absl::Status recorded = serial.has_value()
                                ? CheckRecord(parts_.store.Find(*serial), instance_, *read)
                                : absl::FailedPreconditionError("its serial number is none of this CA's");
    if (!recorded.ok() && !absl::IsFailedPrecondition(recorded)) {
      MutexLock lock(mutex_);
      seen_is_new_ = true;
      return recorded;
    }
    why = recorded.ok() ? WhyReplace(*read, options_.names, authorities, parts_.clock.LikelyNow())
                        : std::string(recorded.message());
  }
  MutexLock lock(mutex_);
  if (!why.empty()) {
    WarnOfReplacing(why);
    return absl::OkStatus();
  }
  if (leaf_.has_value() && leaf_->issued_at >= read->issued_at) return absl::OkStatus();
  LogInfo("a server's certificate stays", {{"object", instance_},
                                           {"serial", read->leaf.serial_hex()},
                                           {"until", OffsetText(read->leaf.validity().not_after)}});
  leaf_ = *std::move(read);
  leafs_roots_ = content.roots_pem;
  SetContent();
  issue_fault_.clear();
  issue_failures_ = 0;
  judged_by_ = nullptr;
  record_at_ = parts_.clock.SinceBoot() + options_.record_every;
  return absl::OkStatus();
}

void ServerSecretKeeper::WarnOfReplacing(const std::string& why) {
  const absl::Duration now = parts_.clock.SinceBoot();
  if (now - warned_at_ < kReplacingWarningGap) return;
  warned_at_ = now;
  LogWarning("what stands in a Secret is replaced", {{"object", instance_}, {"why", why}});
}

// Together with whatever changes the certificate or the roots: the ledger must not show as held what is not there yet.
void ServerSecretKeeper::SetContent() {
  if (!leaf_.has_value() || roots_pem_.empty()) return;
  const absl::Duration now = parts_.clock.SinceBoot();
  const std::string before = ledger_.content();
  const std::string digest = leaf_->ContentWith(roots_pem_).Digest();
  ledger_.SetContent(version_, digest, now);
  // What was seen before it was known what is to stand there may be that.
  if (digest != before && seen_.has_value()) {
    ledger_.Seen(kThePlace, seen_digest_, now, seen_->IsMarked(early_pods_.ThereSince()));
  }
}

void ServerSecretKeeper::MakeAndWrite(const std::shared_ptr<const AuthoritySnapshot>& authorities) {
  if (const std::string why = WhyReplaceNow(authorities); !why.empty()) Issue(why);
  Write();
}

std::string ServerSecretKeeper::WhyReplaceNow(const std::shared_ptr<const AuthoritySnapshot>& authorities) {
  const absl::Duration now = parts_.clock.SinceBoot();
  std::optional<SerialNumber> serial;
  {
    MutexLock lock(mutex_);
    if (!leaf_.has_value()) return "there is none yet";
    serial = leaf_->leaf.serial();
  }
  std::string why;
  if (now >= record_at_ && serial.has_value()) {
    record_at_ = now + options_.record_every;
    const absl::StatusOr<IssuanceRecord> record = parts_.store.Find(*serial);
    MutexLock lock(mutex_);
    const absl::Status recorded = CheckRecord(record, instance_, *leaf_);
    if (absl::IsFailedPrecondition(recorded)) why = std::string(recorded.message());
    // Until there is another one it is looked at again in every round.
    if (!why.empty()) record_at_ = now;
  }
  MutexLock lock(mutex_);
  // istiod up to 1.30 looks at the roots only when the certificate beside them has changed, and what it tells the API
  // server to trust comes from there.
  if (why.empty() && leafs_roots_ != roots_pem_) return "the trusted roots have changed";
  const absl::Time time = parts_.clock.LikelyNow();
  // A path is verified once for each state of the authorities.
  if (!why.empty() || (judged_by_ == authorities && time < leaf_->RenewAt())) return why;
  why = WhyReplace(*leaf_, options_.names, *authorities, time);
  judged_by_ = why.empty() ? authorities : nullptr;
  return why;
}

void ServerSecretKeeper::Issue(const std::string& why) {
  {
    MutexLock lock(mutex_);
    if (issuing_ || stopping_ || parts_.clock.SinceBoot() < issue_at_ || !parts_.clock.MayMake()) return;
  }
  absl::StatusOr<std::unique_ptr<SoftwareKey>> key = SoftwareKey::Generate(options_.key_type);
  if (!key.ok()) return IssueLater(key.status());
  SubmittedRequest submitted;
  submitted.public_key = (*key)->public_key();
  submitted.spiffe_id = options_.names.spiffe_id;
  submitted.dns_names = options_.names.dns_names;
  CallerIdentity& caller = submitted.caller;
  caller.method = AuthMethod::kServerUser;
  caller.subject = "meshca";
  // Its newest certificate counts in a rotation in place of those before.
  caller.instance = instance_;
  caller.ids = {options_.names.spiffe_id};
  caller.dns_names = options_.names.dns_names;
  caller.origin = {OriginKind::kPublished, "meshca"};
  {
    MutexLock lock(mutex_);
    issuing_ = true;
  }
  parts_.pipeline.Submit(
      std::move(submitted), [this, why = why, key = *std::move(key)](absl::StatusOr<IssuedCertificate> issued) mutable {
        // Not on the store's thread: a chain is verified and encoded.
        executor_.Run([this, why = std::move(why), key = std::move(key), issued = std::move(issued)]() mutable {
          OnIssued(why, std::move(key), std::move(issued));
        });
      });
}

// Its record is durable: from here on the key may leave.
void ServerSecretKeeper::OnIssued(const std::string& why, std::unique_ptr<SoftwareKey> key,
                                  absl::StatusOr<IssuedCertificate> issued) {
  absl::StatusOr<StandingLeaf> made =
      issued.ok() ? MakeStandingLeaf(*issued, *key, options_.names, parts_.clock.Now()) : issued.status();
  if (!made.ok()) {
    IssueLater(made.status());
  } else {
    issue_failures_ = 0;
    issue_at_ = parts_.clock.SinceBoot() + options_.retry_first;
    record_at_ = parts_.clock.SinceBoot() + options_.record_every;
    judged_by_ = nullptr;
    LogInfo("a server's certificate was issued", {{"object", instance_},
                                                  {"serial", made->leaf.serial_hex()},
                                                  {"until", OffsetText(made->leaf.validity().not_after)},
                                                  {"why", why}});
  }
  MutexLock lock(mutex_);
  if (made.ok()) {
    leaf_ = *std::move(made);
    leafs_roots_ = roots_pem_;
    SetContent();
    issue_fault_.clear();
    ++issued_;
  }
  issuing_ = false;
  executor_.Nudge();
  ended_.NotifyAll();
}

void ServerSecretKeeper::IssueLater(const absl::Status& why) {
  const int doublings = std::min(issue_failures_++, kIssueDoublingsMax);
  issue_at_ = parts_.clock.SinceBoot() + std::min(options_.retry_last, options_.retry_first * (1 << doublings));
  MutexLock lock(mutex_);
  if (stopping_) return;
  ++failed_;
  std::string fault = absl::StrCat("no certificate can be issued for it: ", why.message());
  if (fault != issue_fault_) {
    LogWarning("a server's certificate could not be issued",
               {{"object", instance_}, {"error", std::string(why.message())}});
  }
  issue_fault_ = std::move(fault);
}

void ServerSecretKeeper::Write() {
  if (!MayWrite()) return;  // a key may have been made since that was asked, which takes seconds for the longest
  kubernetes::ApiCall call;
  {
    MutexLock lock(mutex_);
    if (stopping_ || writing_ || !leaf_.has_value()) return;
    if (ledger_.TakeDue(parts_.clock.SinceBoot(), 1).empty()) return;
    writing_ = true;
    call = CallToWriteServerSecret(options_.secret, seen_.has_value() ? seen_->type : "",
                                   leaf_->ContentWith(roots_pem_), early_pods_.ThereSince());
  }
  writes_.Send(call, kubernetes::kObjectBytesMax,
               [this](const absl::StatusOr<std::string>& answer) { OnWritten(answer.status()); });
  Wipe(call.body);
}

void ServerSecretKeeper::OnWritten(const absl::Status& status) {
  MutexLock lock(mutex_);
  const absl::Duration now = parts_.clock.SinceBoot();
  // Of a write it is what the object would stand in.
  namespace_missing_ = kubernetes::IsMissingObject(status) && !seen_.has_value();
  if (status.ok()) {
    ++written_;
    ledger_.Written(kThePlace, now);
  } else {
    ++failed_;
    const std::string fault = FaultOfWrite(status);
    if (ledger_.Failed(kThePlace, fault, status, 1, now) && !stopping_) {
      LogWarning(ledger_.behind() > 0 ? "a server's certificate could not be published"
                                      : "a server's certificate is published, but its labels could not be put back",
                 {{"object", instance_}, {"error", fault}});
    }
  }
  writing_ = false;
  executor_.Nudge();
}

// The API server's own words are not shown where they may quote the key, so what they usually are is said here.
std::string ServerSecretKeeper::FaultOfWrite(const absl::Status& status) const {
  if (namespace_missing_) {
    return absl::StrCat("namespace ", options_.secret.namespace_name,
                        " does not exist: create it, or take the Secret out of kubernetes.server_secrets");
  }
  if (absl::IsInvalidArgument(status) && seen_.has_value()) {
    return absl::StrCat(status.message(),
                        seen_->immutable ? "; it is immutable: delete it, and it is made anew"
                                         : "; where that lies in what stands there, such as more than it has room for, "
                                           "delete it, and it is made anew");
  }
  return std::string(status.message());
}

absl::Duration ServerSecretKeeper::Unheard() const {
  const absl::Duration age = watch_ == nullptr ? absl::InfiniteDuration() : watch_->Age();
  // A watch that is well is silent for a minute. Of what a dead one has not told, nothing counts that ran out since
  // then.
  return age <= kSecretFollowed ? absl::ZeroDuration() : age;
}

Publication ServerSecretKeeper::Published(absl::Duration unheard) const {
  return ledger_.List(parts_.clock.SinceBoot() - unheard).front();
}

bool ServerSecretKeeper::LeafIsHeld(const Publication& one, absl::Duration unheard) const {
  return leaf_.has_value() && ledger_.behind() == 0 && parts_.clock.SinceBoot() - unheard >= one.held_at;
}

std::string ServerSecretKeeper::FaultOf(const Publication& one) const {
  if (!one.fault.empty()) return one.fault;
  return issue_fault_.empty() ? judge_fault_ : issue_fault_;
}

std::vector<SubscriberRecord> ServerSecretKeeper::List() const {
  const absl::Duration unheard = Unheard();
  const absl::Status watching = watch_ == nullptr ? absl::OkStatus() : watch_->LastError();
  MutexLock lock(mutex_);
  const Publication one = Published(unheard);
  SubscriberRecord record;
  record.instance = instance_;
  record.spiffe_id = options_.names.spiffe_id.uri();
  record.kind = std::string(kPublishedKind);
  record.peer = parts_.server.options().described;
  // It does not leave by itself: it counts for as long as it is to be there.
  record.connected = true;
  record.first_seen = since_;
  record.last_seen = parts_.clock.LikelyNow();
  record.trust_version = one.held;
  // Where there is no namespace nobody can read it, nor could anybody take the key of a certificate that is on record.
  record.takes_bundle = !namespace_missing_;
  record.takes_key = !namespace_missing_;
  const bool held = LeafIsHeld(one, unheard);
  record.authority_id = held ? leaf_->authority_id : held_authority_;
  if (leaf_.has_value()) {
    record.serial = leaf_->leaf.serial_hex();
    record.certificate_expires = leaf_->leaf.validity().not_after;
  }
  record.rejected = FaultOf(one);
  if (!listed_) {
    record.version_info = "not known: it is still being listed";
    record.rejected = std::string(watching.message());
  } else if (namespace_missing_) {
    record.version_info = "its namespace does not exist, so nobody reads it";
  } else if (ledger_.behind() > 0) {
    const std::string why_not = parts_.leadership == nullptr ? "" : parts_.leadership->WhyNot();
    record.version_info =
        why_not.empty()
            ? "does not show the roots and its certificate of now yet; it is written as soon as the API server takes it"
            : absl::StrCat("is not as this server would write it, and it writes nothing: ", why_not);
  } else if (!held) {
    record.version_info =
        absl::StrCat("shows version ", one.written, " and its certificate of now, which count as held at ",
                     TimeOfDayText(record.last_seen + (one.held_at - parts_.clock.SinceBoot())),
                     ", when whoever mounts it has had the time to read it");
  } else {
    record.version_info = absl::StrCat("shows version ", one.written);
  }
  return {std::move(record)};
}

ServerSecretStatus ServerSecretKeeper::Status() const {
  ServerSecretStatus status;
  status.secret = options_.secret;
  if (watch_ != nullptr) {
    status.watching = watch_->LastError();
    status.age = watch_->Age();
  }
  MutexLock lock(mutex_);
  status.listed = listed_;
  status.namespace_missing = namespace_missing_;
  status.behind = ledger_.behind() > 0;
  status.fault = FaultOf(Published(absl::ZeroDuration()));
  if (leaf_.has_value()) {
    status.expires = leaf_->leaf.validity().not_after;
    status.renews = leaf_->RenewAt();
    status.as_of = parts_.clock.LikelyNow();
    status.serial = leaf_->leaf.serial_hex();
  }
  status.early = early_pods_.Early();
  status.issued = issued_;
  status.written = written_;
  status.failed = failed_;
  return status;
}

void ServerSecretKeeper::Shutdown() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  writes_.Cancel();
  on_return_.reset();
  executor_.Shutdown();
  if (watch_ != nullptr) watch_->Stop();
  early_pods_.Shutdown();
  writes_.AwaitEnd();
  MutexLock lock(mutex_);
  while (issuing_) ended_.Wait(mutex_);
}

}  // namespace meshca
