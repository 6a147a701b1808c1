#include "ca/service/agent_attach.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/edge/edge_status.h"
#include "ca/rpc/protobuf_payload.h"

namespace meshca {
namespace {

namespace v1 = agent::v1;

constexpr char kAttachMethod[] = "/meshca.agent.v1.Agent/Attach";

// What the CA keeps for one agent beside its report: stream, registry, feed.
constexpr size_t kStreamCharge = 4096;
// A report as values is at most so many times as large as its message.
constexpr size_t kReportFactor = 4;
// Reports come when something changes: a node whose consumers all start at once makes many in a second, not thousands.
constexpr rpc::RateLimit kReportRate{.burst = 500, .per_second = 50};

absl::Status Garbage(absl::string_view what) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat("attach: ", what)), "MESSAGE_MALFORMED");
}

}  // namespace

void AgentStreams::SetTrust(TrustVersion version, rpc::Payload message) {
  std::vector<rpc::TypedStreamHandle<AgentAttach>> streams;
  {
    MutexLock lock(mutex_);
    if (trust_.message != nullptr && version <= trust_.version) return;
    trust_ = {version, std::move(message)};
    streams.reserve(open_.size());
    for (const auto& [number, open] : open_) streams.push_back(open.stream);
  }
  parts_.registry->SetTrust(version);
  rpc::TypedStreamHandle<AgentAttach>::PostAll(std::move(streams), [](AgentAttach& stream) { stream.OfferTrust(); });
}

AgentStreams::Trust AgentStreams::trust() const {
  MutexLock lock(mutex_);
  return trust_;
}

uint64_t AgentStreams::Add(rpc::TypedStreamHandle<AgentAttach> stream) {
  MutexLock lock(mutex_);
  open_.emplace(++last_, Open{std::move(stream), parts_.clock->SinceBoot() + parts_.hello_within});
  return last_;
}

void AgentStreams::Greeted(uint64_t number) {
  MutexLock lock(mutex_);
  if (const auto found = open_.find(number); found != open_.end()) {
    found->second.hello_until = absl::InfiniteDuration();
  }
}

void AgentStreams::Remove(uint64_t number) {
  MutexLock lock(mutex_);
  open_.erase(number);
}

void AgentStreams::EndSilent() {
  const absl::Duration now = parts_.clock->SinceBoot();
  MutexLock lock(mutex_);
  for (auto& [number, open] : open_) {
    if (open.hello_until > now) continue;
    open.hello_until = absl::InfiniteDuration();
    open.stream.Post([within = parts_.hello_within](AgentAttach& stream) {
      stream.End(WithReason(absl::DeadlineExceededError(absl::StrCat("attach: no hello within ", FormatDuration(within),
                                                                     "; it is the first message of an agent")),
                            "HELLO_MISSING"));
    });
  }
}

// Carries orders and entries from any thread to the stream's loop.
class AgentAttach::Link final : public AgentLink, public EntriesFeed::Listener {
 public:
  explicit Link(rpc::TypedStreamHandle<AgentAttach> stream) : stream_(std::move(stream)) {}

  void PermitReissue(const std::vector<std::string>& authority_ids, uint64_t certificates) override {
    PostOrder(PermitMessage(authority_ids, certificates, PermitShare::kWithin));
  }
  void RenewNow(const std::vector<std::string>& spiffe_ids, const std::vector<std::string>& serials) override {
    PostOrder(RenewMessage(spiffe_ids, serials));
  }
  void StopServing(const std::vector<std::string>& serials, const std::vector<std::string>& spiffe_ids,
                   absl::string_view reason) override {
    PostOrder(StopMessage(serials, spiffe_ids, reason));
  }
  void End(const absl::Status& why) override {
    stream_.Post([why](AgentAttach& stream) { stream.End(why); });
  }
  void OnEntries(std::shared_ptr<const EntriesUpdate> update) override {
    stream_.Post([update = std::move(update)](AgentAttach& stream) { stream.OfferEntries(update); });
  }

 private:
  void PostOrder(const v1::AttachResponse& message) {
    stream_.Post([payload = rpc::Frame(message)](AgentAttach& stream) { stream.Order(payload); });
  }
  const rpc::TypedStreamHandle<AgentAttach> stream_;
};

// An agent stays attached for months, and is one of ten thousand: of who it is nothing is kept but its node.
struct AgentAttach::Arrival {
  AgentCaller agent;
  std::optional<v1::AttachHello> hello;
  uint32_t protocol_version = 0;
  std::optional<HeldReport> early;  // came while the agent was being judged
};

AgentAttach::AgentAttach(rpc::Stream& stream, AgentStreams& streams, AgentCaller agent)
    : stream_(stream), streams_(streams), node_(agent.node), arrival_(std::make_unique<Arrival>()) {
  arrival_->agent = std::move(agent);
  number_ = streams_.Add(rpc::TypedStreamHandle<AgentAttach>(stream_, *this));
}

AgentAttach::~AgentAttach() = default;

void AgentAttach::OnMessage(absl::string_view bytes) {
  if (ended_) return;
  const int64_t now = absl::ToInt64Nanoseconds(streams_.parts().clock->SinceBoot());
  if (!messages_.Take(kReportRate, now)) {
    return End(WithReason(absl::ResourceExhaustedError("attach: too many messages in a second"), "TOO_MANY_MESSAGES"));
  }
  v1::AttachRequest request;
  if (absl::Status parsed = rpc::ParseMessage(bytes, request); !parsed.ok()) return End(Garbage(parsed.message()));
  switch (request.message_case()) {
    case v1::AttachRequest::kHello: return OnHello(request.hello());
    case v1::AttachRequest::kHeld: return OnHeld(request.held(), bytes.size());
    case v1::AttachRequest::MESSAGE_NOT_SET: return End(Garbage("a message that is neither hello nor held"));
  }
}

void AgentAttach::OnHello(const v1::AttachHello& hello) {
  if (arrival_ == nullptr || arrival_->hello.has_value()) return End(Garbage("a second hello"));
  const absl::StatusOr<uint32_t> version = AgreeOnProtocol(hello.protocol_version());
  if (!version.ok()) return End(version.status());
  arrival_->protocol_version = *version;
  arrival_->hello = hello;
  arrival_->hello->set_agent_version(VersionText(hello.agent_version()));
  streams_.Greeted(number_);
  Judge();
}

// The certificate was believed by its path; whether it was issued, and not taken back, is in the database.
void AgentAttach::Judge() {
  auto verdict = [this_handle = rpc::TypedStreamHandle<AgentAttach>(stream_, *this), agent = arrival_->agent,
                  parts = streams_.parts()]() mutable {
    const uint64_t verdicts = parts.registry->verdicts();
    const absl::Status judged = parts.gate->Judge(agent);
    // Whoever attaches asks for its certificates next.
    if (judged.ok()) parts.shares->RememberServed(agent, verdicts, parts.clock->SinceBoot());
    this_handle.Post([verdicts, judged](AgentAttach& stream) { stream.OnJudged(judged, verdicts); });
  };
  if (const absl::Status room = streams_.parts().workers->Submit(node_, std::move(verdict)); !room.ok()) {
    End(room);
  }
}

void AgentAttach::OnJudged(const absl::Status& verdict, uint64_t verdicts) {
  if (ended_) return;
  if (!verdict.ok()) return End(CsrEdgeStatus(verdict, kAttachMethod, *streams_.parts().entropy));
  Start(verdicts);
}

void AgentAttach::Start(uint64_t verdicts) {
  if (!arrival_->early.has_value() && !Charge(0)) return;
  const AgentStreams::Parts& parts = streams_.parts();
  const AgentCaller& agent = arrival_->agent;
  const v1::AttachHello& hello = *arrival_->hello;
  ArrivedAgent arrived;
  arrived.node = node_;
  arrived.spiffe_id = agent.id.uri();
  arrived.peer = agent.peer_address;
  arrived.version = hello.agent_version();
  arrived.protocol_version = arrival_->protocol_version;
  arrived.fresh_process = hello.entries_revision() == 0;
  if (!agent.certificate->authority_ids.empty()) arrived.authority_id = agent.certificate->authority_ids.front();
  arrived.not_after = agent.certificate->leaf.validity().not_after;
  const AgentStreams::Trust trust = streams_.trust();
  if (hello.trust_version() > trust.version) {
    LogWarning("an agent was told a higher trust version than this CA has; it refuses ours until they are higher",
               {{"node", node_}, {"told", absl::StrCat(hello.trust_version())}, {"ours", absl::StrCat(trust.version)}});
  }
  const auto link = std::make_shared<Link>(rpc::TypedStreamHandle<AgentAttach>(stream_, *this));
  member_ = parts.registry->Attach(arrived, link, verdicts);
  // A ban or a revocation came between the verdict and here. It may be about this agent, whose node was forgotten then.
  if (!member_) return Judge();
  // Always the first message: whatever else there is to say waits behind it, and what the registry has just ordered
  // comes by a post.
  orders_.push_back(rpc::Frame(WelcomeMessage(arrived.protocol_version, parts.registry->heartbeat(),
                                              parts.delivered_after, parts.clock->BelievedNow())));
  if (arrival_->early.has_value()) member_.Report(*std::move(arrival_->early));
  std::shared_ptr<const NodeEntries> entries;
  subscription_ = parts.entries->Subscribe(node_, link, &entries);
  if (hello.entries_revision() != entries->revision()) {
    entries_ = std::make_shared<const EntriesUpdate>(WholeOf(std::move(entries), node_));
  }
  arrival_ = nullptr;
  Pump();
}

void AgentAttach::OnHeld(const v1::Held& held, size_t bytes) {
  if (arrival_ != nullptr && !arrival_->hello.has_value()) return End(Garbage("the first message has to be a hello"));
  absl::StatusOr<HeldReport> report = ReadHeld(held);
  if (!report.ok()) return End(report.status());
  if (!Charge(bytes * kReportFactor)) return;
  if (arrival_ != nullptr) {
    arrival_->early = *std::move(report);
    return;
  }
  if (!member_.Report(*std::move(report))) {
    End(WithReason(absl::UnavailableError("attach: this stream does not count any more; attach again"),
                   "ATTACHED_AGAIN"));
  }
}

bool AgentAttach::Charge(size_t report_bytes) {
  const absl::Status held = stream_.HoldBytes(kStreamCharge + report_bytes);
  if (held.ok()) return true;
  End(WithReason(Annotate(held, "attach"), "NO_MEMORY"));
  return false;
}

void AgentAttach::OfferTrust() {
  if (member_) Pump();
}

void AgentAttach::OfferEntries(std::shared_ptr<const EntriesUpdate> update) {
  if (ended_) return;
  if (entries_ != nullptr) {
    entries_behind_ = true;
    return;
  }
  entries_messages_ = streams_.entries_messages().Of(update);
  entries_ = std::move(update);
  Pump();
}

void AgentAttach::Order(rpc::Payload message) {
  if (ended_) return;
  if (orders_.size() >= kOrdersMax) {
    return End(
        WithReason(absl::ResourceExhaustedError("attach: the agent does not read what it is told"), "NOT_READING"));
  }
  orders_.push_back(std::move(message));
  Pump();
}

void AgentAttach::Pump() {
  if (ended_ || !member_) return;
  auto unsent = orders_.begin();
  while (unsent != orders_.end() && stream_.Send(*unsent)) ++unsent;
  orders_.erase(orders_.begin(), unsent);
  if (!orders_.empty()) return;
  if (const AgentStreams::Trust trust = streams_.trust(); trust.message != nullptr && trust.version > trust_sent_) {
    if (!stream_.Send(trust.message)) return;
    trust_sent_ = trust.version;
  }
  while (entries_ != nullptr && PumpEntries()) {
  }
}

// One part, or the step to the next update. False: the queue is full.
bool AgentAttach::PumpEntries() {
  if (entries_next_ < entries_->parts.size()) {
    rpc::Payload message = entries_messages_ != nullptr
                               ? (*entries_messages_)[entries_next_]
                               : rpc::Frame(EntriesMessage(*entries_, entries_->parts[entries_next_]));
    if (!stream_.Send(std::move(message))) return false;
    ++entries_next_;
    return true;
  }
  entries_next_ = 0;
  entries_messages_ = nullptr;
  entries_ = nullptr;
  if (std::exchange(entries_behind_, false)) {
    entries_ = std::make_shared<const EntriesUpdate>(WholeOf(streams_.parts().entries->Current(), node_));
  }
  return true;
}

void AgentAttach::OnHalfClose() {
  if (!ended_) End(absl::OkStatus());
}

void AgentAttach::End(const absl::Status& why) {
  if (std::exchange(ended_, true)) return;
  subscription_ = {};
  member_.Leave();
  stream_.Finish(why);
}

void AgentAttach::OnClose(const absl::Status&) {
  ended_ = true;
  subscription_ = {};
  member_.Leave();
  streams_.Remove(number_);
}

}  // namespace meshca
