#include "cli/agent/ca_connection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca::agent {
namespace {

// What a CA may ask for; a heartbeat that it does not name is the design's.
constexpr absl::Duration kHeartbeat = absl::Seconds(15);
constexpr absl::Duration kHeartbeatMin = absl::Seconds(1);
constexpr absl::Duration kHeartbeatMax = absl::Minutes(10);
// Entries and trust come in messages of the CA's choice; it is believed, and yet not with all of the memory.
constexpr size_t kMessageBytesMax = 16 * 1024 * 1024;
constexpr int kBehindMax = 100;
constexpr int kUnderMax = 16;
// A new certificate waits no longer than this for the calls that are under way.
constexpr absl::Duration kReattachPatience = absl::Seconds(30);

absl::Duration ReadDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

absl::Time ReadTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

ChosenKeys Chosen(const google::protobuf::RepeatedPtrField<std::string>& ids,
                  const google::protobuf::RepeatedPtrField<std::string>& serials) {
  return {{ids.begin(), ids.end()}, {serials.begin(), serials.end()}};
}

// What may stand behind a stream that ended.
CaConnectionState StateOf(const absl::Status& why, bool welcomed) {
  if (absl::IsUnauthenticated(why) || absl::IsPermissionDenied(why)) return CaConnectionState::kRefused;
  if (absl::IsFailedPrecondition(why) && !welcomed) return CaConnectionState::kNoVersion;
  return CaConnectionState::kAway;
}

}  // namespace

// One try, from Connect until Drop. What comes of an earlier one than the connection's present one is passed over.
class CaConnection::Attachment {
 public:
  std::shared_ptr<rpc::ClientStream> stream;
  bool welcomed = false;

  // Hands everything to the executor.
  class Handler final : public rpc::ClientStreamHandler {
   public:
    Handler(CaConnection& connection, std::shared_ptr<Attachment> attachment)
        : connection_(connection), attachment_(std::move(attachment)) {}
    void OnMessage(rpc::ClientStream& stream, absl::string_view bytes) override {
      v1::AttachResponse message;
      if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
        return End(absl::InternalError("the CA's message cannot be read"));
      }
      connection_.executor_.Run([&connection = connection_, attachment = attachment_, message = std::move(message)] {
        connection.Receive(attachment, message);
      });
    }
    void OnClose(const absl::Status& status) override {
      End(status.ok() ? absl::UnavailableError("the CA ended the connection") : status);
    }

   private:
    void End(absl::Status why) {
      connection_.executor_.Run([&connection = connection_, attachment = attachment_, why = std::move(why)] {
        if (attachment == connection.attachment_) connection.Fail(why);
      });
    }

    CaConnection& connection_;
    const std::shared_ptr<Attachment> attachment_;
  };
};

CaConnection::CaConnection(CaConnectionOptions options, Parts parts, const Clock& clock, EntropySource& entropy,
                           SerialExecutor& executor)
    : options_(std::move(options)),
      parts_(parts),
      clock_(clock),
      entropy_(entropy),
      executor_(executor),
      jitter_(options_.retry_first, options_.retry_max, entropy) {
  MESHCA_CHECK(!options_.servers.empty());
  {
    MutexLock lock(mutex_);
    status_.server = options_.servers.front();
    status_.since = clock.Now();
  }
  executor.AddDuty([this] { return Advance(); });
  // The disk was full when a trust was told, and that was said then.
  executor.OnTick([this] { (void)parts_.trust.SaveAgain(); });
}

CaConnection::~CaConnection() { MESHCA_CHECK(channel_ == nullptr); }

absl::Duration CaConnection::Advance() {
  const absl::Duration now = clock_.SinceBoot();
  EndWaitingCalls(/*all=*/false);
  const bool identity_changed = identity_changed_at_ <= now;
  switch (phase_) {
    case Phase::kWaiting:
      if (now >= next_ || identity_changed) Connect();
      break;
    case Phase::kConnecting:
      if (now >= next_) {
        Fail(absl::DeadlineExceededError(absl::StrCat(options_.servers[server_], ": no welcome within ",
                                                      absl::FormatDuration(options_.welcome_timeout))));
      }
      break;
    case Phase::kAttached: {
      if (identity_changed && (calls_ == 0 || now - identity_changed_at_ >= kReattachPatience)) {
        Reattach();
        break;
      }
      const absl::Duration gap = held_changed_.load() ? options_.report_gap : heartbeat_;
      if (now - reported_at_ >= gap) ReportHeld();
      return std::max(absl::ZeroDuration(), reported_at_ + gap - clock_.SinceBoot());
    }
    case Phase::kEnded: return absl::InfiniteDuration();
  }
  return std::max(absl::ZeroDuration(), next_ - clock_.SinceBoot());
}

void CaConnection::Connect() {
  identity_changed_at_ = absl::InfiniteDuration();
  const OwnIdentityPtr identity = parts_.identity.Current();
  const std::shared_ptr<const ChainVerifier> verifier = parts_.trust.verifier();
  if (identity == nullptr || verifier == nullptr || !identity->validity.Contains(clock_.Now())) {
    const absl::Status why = absl::FailedPreconditionError(
        identity == nullptr || verifier == nullptr
            ? "it has not joined: give it a token of meshca token create --node NODE"
            : absl::StrCat("its certificate is valid from ", UtcText(identity->validity.not_before), " until ",
                           UtcText(identity->validity.not_after), ", and this machine's clock says ",
                           UtcText(clock_.Now()), ". It joins again by its key where the CA lets it; else by a token: ",
                           "meshca token create --node ", identity->node, " --replace"));
    return Wait(CaConnectionState::kExpired, why, options_.refused_retry);
  }
  const std::string& server = options_.servers[server_];
  {
    MutexLock lock(mutex_);
    status_.server = server;
  }
  judge_ = std::make_shared<ServerJudge>(verifier, server, clock_);
  rpc::TlsServer target;
  target.address = server;
  target.verdict = ServerJudge::VerdictOf(judge_);
  target.certificate_pem = identity->chain.ToPem();
  target.key_pem = identity->key->ToPkcs8Pem();
  rpc::ClientChannelOptions channel;
  channel.connect_timeout = options_.welcome_timeout;
  channel.keepalive = options_.keepalive;
  channel.message_bytes_max = kMessageBytesMax;
  channel_ = rpc::ClientChannel::ToTlsServer(std::move(target), channel);

  phase_ = Phase::kConnecting;
  next_ = clock_.SinceBoot() + options_.welcome_timeout;
  attachment_ = std::make_shared<Attachment>();
  attachment_->stream = channel_->OpenStream(kAttachMethod, {.timeout = absl::InfiniteDuration()},
                                             std::make_unique<Attachment::Handler>(*this, attachment_));
  v1::AttachRequest request;
  v1::AttachHello& hello = *request.mutable_hello();
  hello.set_protocol_version(options_.protocol_newest);
  hello.set_agent_version(options_.agent_version);
  if (const auto trust = parts_.trust.Current(); trust != nullptr) hello.set_trust_version(trust->version);
  hello.set_entries_revision(parts_.entries.revision());
  attachment_->stream->Send(request.SerializeAsString());
  attachment_->stream->Read();
}

void CaConnection::Receive(const std::shared_ptr<Attachment>& from, const v1::AttachResponse& message) {
  if (from != attachment_) return;
  const absl::Status taken = Take(message);
  if (!taken.ok()) return Fail(taken);
  attachment_->stream->Read();
}

absl::Status CaConnection::Take(const v1::AttachResponse& message) {
  if (message.has_welcome() == attachment_->welcomed) {
    return absl::InternalError(attachment_->welcomed ? "the CA welcomed this agent twice"
                                                     : "the CA's first message is no welcome");
  }
  switch (message.message_case()) {
    case v1::AttachResponse::kWelcome: return TakeWelcome(message.welcome());
    case v1::AttachResponse::kTrust: {
      const absl::Status adopted = parts_.trust.Adopt(message.trust());
      if (!adopted.ok()) LogError("a trust that the CA told is not taken", {{"why", std::string(adopted.message())}});
      HeldChanged();
      MutexLock lock(mutex_);
      status_.trust_refused = adopted;
      return absl::OkStatus();
    }
    case v1::AttachResponse::kEntries:
      HeldChanged();
      return parts_.entries.Apply(message.entries(), parts_.trust.trust_domain());
    default:
      // What a newer CA says beyond these is nothing that an older agent was asked to understand.
      Order(message);
      return absl::OkStatus();
  }
}

absl::Status CaConnection::TakeWelcome(const v1::AttachWelcome& welcome) {
  const uint32_t version = welcome.protocol_version();
  if (version < options_.protocol_oldest || version > options_.protocol_newest) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the CA at ", options_.servers[server_], " (meshca ", welcome.server_version(), ") wants protocol version ",
        version, ", and this agent speaks ", options_.protocol_oldest, " to ", options_.protocol_newest));
  }
  attachment_->welcomed = true;
  failed_tries_ = 0;
  phase_ = Phase::kAttached;
  attached_at_ = clock_.SinceBoot();
  heartbeat_ = welcome.has_heartbeat() ? ReadDuration(welcome.heartbeat()) : kHeartbeat;
  heartbeat_ = std::clamp(heartbeat_, kHeartbeatMin, kHeartbeatMax);
  {
    MutexLock lock(mutex_);
    status_.attached_last = clock_.Now();
    status_.protocol_version = version;
    status_.server_version = welcome.server_version();
    if (welcome.has_delivered_after()) status_.delivered_after = ReadDuration(welcome.delivered_after());
    if (welcome.has_now()) status_.ca_time_at_boot = ReadTime(welcome.now()) - attached_at_;
  }
  SetStatus(CaConnectionState::kAttached, absl::OkStatus());
  ReportHeld();
  for (std::deque<WaitingCall> waiting = std::exchange(waiting_, {}); !waiting.empty(); waiting.pop_front()) {
    Begin(std::move(waiting.front()));
  }
  return absl::OkStatus();
}

void CaConnection::Order(const v1::AttachResponse& message) {
  if (message.has_stop()) {
    parts_.orders.StopServing(Chosen(message.stop().spiffe_ids(), message.stop().serials()), message.stop().reason());
  } else if (message.has_renew()) {
    parts_.orders.RenewNow(Chosen(message.renew().spiffe_ids(), message.renew().serials()));
  } else if (message.has_reissue()) {
    const v1::ReissuePermit& permit = message.reissue();
    parts_.orders.PermitReissue({permit.authority_ids().begin(), permit.authority_ids().end()}, permit.certificates(),
                                std::max(absl::ZeroDuration(), ReadDuration(permit.within())));
  }
}

void CaConnection::Fail(const absl::Status& why) {
  const bool welcomed = attachment_->welcomed;
  if (welcomed && clock_.SinceBoot() - attached_at_ >= options_.retry_max) jitter_.Reset();
  server_ = (server_ + 1) % options_.servers.size();
  if (!welcomed) ++failed_tries_;  // a server that ends a connection may be restarting
  const absl::Status verdict = judge_->last_verdict();
  if (!welcomed && !verdict.ok()) return Wait(CaConnectionState::kNotBelieved, verdict, jitter_.Next());
  const CaConnectionState state = StateOf(why, welcomed);
  if (state == CaConnectionState::kAway) return Wait(state, why, std::min(jitter_.Next(), LongestWait()));
  Wait(state, why, UniformDuration(entropy_, options_.refused_retry / 2, options_.refused_retry * 1.5));
}

// An agent whose certificates are short-lived must be back before they end: it waits no longer than an eighth of what
// its own has left.
absl::Duration CaConnection::LongestWait() const {
  const OwnIdentityPtr own = parts_.identity.Current();
  if (own == nullptr) return options_.retry_max;
  return std::max(options_.retry_first, (own->validity.not_after - clock_.Now()) / 8);
}

void CaConnection::Wait(CaConnectionState state, const absl::Status& why, absl::Duration wait) {
  SetStatus(state, why);
  Drop();
  phase_ = Phase::kWaiting;
  next_ = clock_.SinceBoot() + wait;
  if (state != CaConnectionState::kAway || IsKnownAway()) EndWaitingCalls(/*all=*/true);
}

void CaConnection::Drop() {
  attachment_.reset();
  parts_.entries.ForgetPart();
  if (channel_ == nullptr) return;
  // What was under way ends, and says so to this executor; gRPC's thread waits for nothing here.
  channel_->Shutdown();
  channel_.reset();
}

void CaConnection::Reattach() {
  Drop();
  Connect();
}

void CaConnection::ReportHeld() {
  held_changed_ = false;
  reported_at_ = clock_.SinceBoot();
  v1::AttachRequest request;
  v1::Held& held = *request.mutable_held();
  held = parts_.held.Report();
  held.set_entries_revision(parts_.entries.revision());
  if (const auto trust = parts_.trust.Current(); trust != nullptr) held.set_own_trust_version(trust->version);
  if (held.behind_first_size() > kBehindMax) {
    held.mutable_behind_first()->DeleteSubrange(kBehindMax, held.behind_first_size() - kBehindMax);
  }
  if (held.under_size() > kUnderMax) held.mutable_under()->DeleteSubrange(kUnderMax, held.under_size() - kUnderMax);
  // Where the CA does not read, this report is left out: the next one says what holds then.
  attachment_->stream->Send(request.SerializeAsString());
}

void CaConnection::HeldChanged() {
  if (!held_changed_.exchange(true)) executor_.Nudge();
}

void CaConnection::IdentityChanged() {
  executor_.Run([this] { identity_changed_at_ = clock_.SinceBoot(); });
}

void CaConnection::Call(const char* method, std::string request, Done done) {
  executor_.Run([this, call = WaitingCall{method, std::move(request), std::move(done), {}}]() mutable {
    CallOrWait(std::move(call));
  });
}

void CaConnection::CallOrWait(WaitingCall call) {
  if (phase_ == Phase::kAttached) return Begin(std::move(call));
  const CaConnectionState state = Status().state;
  const bool may_wait = state == CaConnectionState::kConnecting || state == CaConnectionState::kAttached ||
                        (state == CaConnectionState::kAway && !IsKnownAway());
  if (!may_wait) {
    return std::move(call.done)(WhyNotConnected());
  }
  if (waiting_.size() >= options_.waiting_max) {
    return std::move(call.done)(
        absl::ResourceExhaustedError(absl::StrCat(waiting_.size(), " calls wait for a connection to the CA already")));
  }
  call.until = clock_.SinceBoot() + options_.call_wait;
  waiting_.push_back(std::move(call));
}

void CaConnection::Begin(WaitingCall call) {
  ++calls_;
  channel_->CallUnary(call.method, call.request, {.timeout = options_.call_timeout},
                      [this, done = std::move(call.done)](absl::StatusOr<std::string> response) mutable {
                        executor_.Run([this, done = std::move(done), response = std::move(response)]() mutable {
                          --calls_;
                          std::move(done)(std::move(response));
                        });
                      });
}

void CaConnection::EndWaitingCalls(bool all) {
  const absl::Duration now = clock_.SinceBoot();
  while (!waiting_.empty() && (all || now >= waiting_.front().until)) {
    Done done = std::move(waiting_.front().done);
    waiting_.pop_front();
    std::move(done)(WhyNotConnected());
  }
}

absl::Status CaConnection::WhyNotConnected() const {
  const CaConnectionStatus status = Status();
  return absl::UnavailableError(absl::StrCat("this agent is ", status.Words()));
}

void CaConnection::SetStatus(CaConnectionState state, const absl::Status& why) {
  bool changed;
  CaConnectionStatus now;
  {
    MutexLock lock(mutex_);
    changed = status_.state != state;
    if (changed) status_.since = clock_.Now();
    status_.state = state;
    status_.why = why;
    if (const OwnIdentityPtr own = parts_.identity.Current(); own != nullptr) status_.node = own->node;
    now = status_;
  }
  if (!changed) return;
  const LogLevel level = state == CaConnectionState::kAttached || state == CaConnectionState::kEnded
                             ? LogLevel::kInfo
                             : LogLevel::kWarning;
  Log(level, absl::StrCat("the agent is ", now.Words()));
}

CaConnectionStatus CaConnection::Status() const {
  MutexLock lock(mutex_);
  return status_;
}

void CaConnection::Shutdown() {
  Mutex mutex;
  CondVar ended;
  bool done = false;
  executor_.Run([&] {
    if (phase_ != Phase::kEnded) {
      Drop();
      phase_ = Phase::kEnded;
      SetStatus(CaConnectionState::kEnded, absl::OkStatus());
      EndWaitingCalls(/*all=*/true);
    }
    MutexLock lock(mutex);
    done = true;
    ended.NotifyAll();
  });
  MutexLock lock(mutex);
  while (!done) ended.Wait(mutex);
}

}  // namespace meshca::agent
