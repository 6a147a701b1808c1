#include "test/bench/agents_load.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/base/check.h"
#include "ca/base/status.h"
#include "test/bench/dial.h"

namespace meshca::bench {
namespace {

namespace v1 = agent::v1;

constexpr int kEventsPerTurn = 256;
constexpr uint64_t kExtra = ~uint64_t{0};  // in place of an agent
constexpr size_t kOtherDescriptors = 64;   // beside the sockets
constexpr uint32_t kStream = 0;            // the Attach stream or the Join call of a connection; Sign calls count up
constexpr size_t kWarmUpAgents = 8;
constexpr size_t kBatchMax = 64;  // agent.proto
// As `meshca agent`: news is gathered for so long before it is reported.
constexpr absl::Duration kReportGap = absl::Milliseconds(200);
constexpr absl::Duration kRetry = absl::Seconds(1);

constexpr char kJoinPath[] = "/meshca.agent.v1.Agent/Join";
constexpr char kAttachPath[] = "/meshca.agent.v1.Agent/Attach";
constexpr char kSignPath[] = "/meshca.agent.v1.Agent/Sign";

std::vector<nghttp2_nv> Headers(absl::string_view path, absl::string_view authority) {
  return {Header(":method", "POST"),       Header(":scheme", "https"), Header(":path", path),
          Header(":authority", authority), Header("te", "trailers"),   Header("content-type", "application/grpc")};
}

X509Ptr ParseCertificate(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  return X509Ptr(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

absl::Status NoCertificate() { return absl::DataLossError("the CA answered with something that is no certificate"); }

}  // namespace

// One connection of one agent.
struct AgentsLoad::Link final : public StreamEvents {
  enum class State { kConnecting, kShaking, kOpen };
  struct Call {
    std::vector<SimulatedAgent::Wish> wishes;
    std::vector<std::string> csrs;
    absl::Time begun;
    bool for_load = false;  // of SignBatches: the agent does not hold what it gets
    bool answered = false;
  };

  Link(AgentsLoad& load, Agent& agent, Purpose purpose) : load(load), agent(agent), purpose(purpose) {}
  void OnMessage(uint32_t stream, absl::string_view message, std::string&) override {
    load.OnMessage(agent, stream, message);
  }
  void OnAnswered(uint32_t) override {}
  void OnEnd(uint32_t stream, const absl::Status& status) override { load.OnEnd(agent, stream, status); }

  AgentsLoad& load;
  Agent& agent;
  const Purpose purpose;
  uint32_t generation = 0;
  State state = State::kConnecting;
  uint32_t watched = 0;  // what epoll was told
  TlsSocket socket;      // until it is open
  std::unique_ptr<StreamConnection> connection;
  std::map<uint32_t, Call> calls;
  uint32_t last_call = kStream;
};

struct AgentsLoad::Agent {
  uint32_t number = 0;
  std::string token;
  std::optional<SimulatedAgent> self;  // once it has joined
  EvpPkeyPtr key, next_key;
  std::vector<X509*> issuers;  // of `certificate`; owned by the load
  X509Ptr certificate;
  std::unique_ptr<Link> link;
  Purpose purpose = Purpose::kJoin;
  bool at_purpose = false;
  bool settled = false;
  bool drop = false;     // its connection, as soon as nobody stands in it
  bool connect = false;  // anew, after that
  bool renewed = false;  // shows its new certificate as soon as no call is open
  bool report_due = false;
  absl::Time reported_at;
};

absl::StatusOr<std::unique_ptr<AgentsLoad>> AgentsLoad::Create(AgentsLoadOptions options) {
  if (options.tokens.empty()) return absl::InvalidArgumentError("an agent joins by a token, and there is none");
  MESHCA_RETURN_IF_ERROR(AllowDescriptors(options.tokens.size() + kOtherDescriptors));
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<TlsTarget> target, TlsTarget::Create(options.server));
  std::unique_ptr<AgentsLoad> load(new AgentsLoad(std::move(options), std::move(target)));
  if (!load->epoll_.valid()) return ErrnoStatus(errno, "epoll_create1");
  return load;
}

AgentsLoad::AgentsLoad(AgentsLoadOptions options, std::unique_ptr<TlsTarget> target)
    : options_(std::move(options)),
      target_(std::move(target)),
      roots_(X509_STORE_new()),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      attach_headers_(Headers(kAttachPath, target_->authority())),
      sign_headers_(Headers(kSignPath, target_->authority())) {
  for (const std::string& token : options_.tokens) {
    agents_.push_back(std::make_unique<Agent>());
    agents_.back()->number = static_cast<uint32_t>(agents_.size() - 1);
    agents_.back()->token = token;
  }
}

AgentsLoad::~AgentsLoad() = default;

void AgentsLoad::MakeRequests(size_t count) {
  while (requests_.size() < count) {
    const EvpPkeyPtr key = MakeP256Key();
    requests_.push_back(CsrOf(key.get()));
  }
}

std::string AgentsLoad::TakeRequest() {
  MakeRequests(1);
  std::string csr = std::move(requests_.front());
  requests_.pop_front();
  return csr;
}

// --- the phases ---

absl::Status AgentsLoad::Join(absl::Time deadline) {
  // Making keys is not what is measured.
  for (const auto& agent : agents_) agent->key = MakeP256Key();
  return ConnectAll(Purpose::kJoin, deadline, [this] { return at_purpose_ == agents_.size(); });
}

absl::Status AgentsLoad::Connect(absl::Time deadline) {
  return ConnectAll(Purpose::kConnect, deadline, [this] { return at_purpose_ == agents_.size(); });
}

absl::StatusOr<size_t> AgentsLoad::WarmUp(size_t certificates, absl::Time deadline) {
  const size_t count = std::min(kWarmUpAgents, agents_.size());
  for (size_t i = 0; i < count; ++i) {
    agents_[i]->purpose = Purpose::kAttach;
    ConnectAgain(*agents_[i]);
  }
  MESHCA_ASSIGN_OR_RETURN(const bool attached, ServeUntil([&] { return settled_ == count; }, deadline));
  if (!attached) return absl::DeadlineExceededError(absl::StrCat("agents did not attach; ", counts_.first_error));
  MESHCA_RETURN_IF_ERROR(SignBatches(certificates / kBatchMax, kBatchMax, count / 2 + 1, deadline));
  return count;
}

absl::Status AgentsLoad::Attach(absl::Time deadline) {
  for (const auto& agent : agents_) {
    if (agent->link != nullptr && agent->purpose == Purpose::kAttach) continue;
    agent->purpose = Purpose::kAttach;
    if (agent->link == nullptr) {
      ConnectAgain(*agent);
    } else {
      OpenAttach(*agent);
      AfterServing(*agent);
    }
  }
  MESHCA_ASSIGN_OR_RETURN(const bool done, ServeUntil([this] { return settled_ == agents_.size(); }, deadline));
  if (done) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat(settled_, " of ", agents_.size(),
                                                  " agents are attached and hold all certificates of their nodes",
                                                  counts_.first_error.empty() ? "" : "; ", counts_.first_error));
}

absl::Status AgentsLoad::Restart(absl::Time deadline) {
  for (const auto& agent : agents_) {
    agent->self->Restart();
    Drop(*agent);
    Follow(*agent);
  }
  return Attach(deadline);
}

absl::Status AgentsLoad::ConnectAll(Purpose purpose, absl::Time deadline, absl::FunctionRef<bool()> done) {
  at_purpose_ = 0;
  for (const auto& agent : agents_) {
    agent->at_purpose = agent->link != nullptr;
    if (agent->at_purpose) {
      ++at_purpose_;
      continue;
    }
    agent->purpose = purpose;
    ConnectAgain(*agent);
  }
  MESHCA_ASSIGN_OR_RETURN(const bool all, ServeUntil(done, deadline));
  if (all) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat(at_purpose_, " of ", agents_.size(), " agents have ",
                                                  purpose == Purpose::kJoin ? "joined" : "connected",
                                                  counts_.first_error.empty() ? "" : "; ", counts_.first_error));
}

absl::Status AgentsLoad::SignBatches(size_t calls, size_t batch, size_t in_flight, absl::Time deadline) {
  batches_left_ = calls;
  batch_ = batch;
  batches_in_flight_ = std::min(in_flight, agents_.size());
  SendBatches();
  MESHCA_ASSIGN_OR_RETURN(const bool done,
                          ServeUntil([this] { return batches_left_ == 0 && batches_open_ == 0; }, deadline));
  return done ? absl::OkStatus() : absl::DeadlineExceededError("not every Sign call was answered");
}

void AgentsLoad::FallAsleep(size_t count) {
  for (size_t i = 0; i < count && i < agents_.size(); ++i) agents_[i]->self->FallAsleep();
}

void AgentsLoad::WakeUp() {
  for (const auto& agent : agents_) {
    agent->self->WakeUp();
    Follow(*agent);
  }
}

uint64_t AgentsLoad::held() const {
  uint64_t sum = 0;
  for (const auto& agent : agents_) sum += agent->self.has_value() ? agent->self->certificates() : 0;
  return sum;
}

// --- connections ---

absl::StatusOr<bool> AgentsLoad::ServeUntil(absl::FunctionRef<bool()> done, absl::Time deadline, int extra_fd) {
  if (extra_fd >= 0) {
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLONESHOT;
    event.data.u64 = kExtra;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, extra_fd, &event) != 0) return ErrnoStatus(errno, "epoll_ctl");
  }
  absl::Status status;
  bool is_done = false;
  while (status.ok() && !(is_done = done()) && absl::Now() < deadline) status = Turn(deadline);
  if (extra_fd >= 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, extra_fd, nullptr);
  if (!status.ok()) return status;
  return is_done;
}

absl::Status AgentsLoad::Turn(absl::Time until) {
  MESHCA_RETURN_IF_ERROR(StartConnections());
  const int64_t now_ns = absl::GetCurrentTimeNanos();
  int64_t wait_ns = std::min<int64_t>(absl::ToUnixNanos(until) - now_ns, 1'000'000'000);
  if (!timers_.empty()) wait_ns = std::min(wait_ns, timers_.top().at_ns - now_ns);
  if (!to_connect_.empty() && connecting_ < options_.at_once) wait_ns = 0;
  std::array<epoll_event, kEventsPerTurn> events;
  const int wait_ms = wait_ns <= 0 ? 0 : static_cast<int>(wait_ns / 1'000'000 + 1);
  const int count = epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, wait_ms);
  if (count < 0 && errno != EINTR) return ErrnoStatus(errno, "epoll_wait");
  for (int i = 0; i < count; ++i) {
    const uint64_t who = events[i].data.u64;
    if (who == kExtra) continue;
    Agent& agent = *agents_[who & 0xffffffff];
    // An event of a connection that was dropped a moment ago is nobody's.
    if (agent.link == nullptr || agent.link->generation != who >> 32) continue;
    OnSocket(agent, events[i].events);
  }
  for (const int64_t now = absl::GetCurrentTimeNanos(); !timers_.empty() && timers_.top().at_ns <= now;) {
    const Timer timer = timers_.top();
    timers_.pop();
    Fire(timer);
  }
  return fatal_;
}

void AgentsLoad::ConnectAgain(Agent& agent) { to_connect_.push_back(agent.number); }

// A few in one turn, so that those who are connected are served meanwhile.
absl::Status AgentsLoad::StartConnections() {
  for (int started = 0; started < 16 && connecting_ < options_.at_once && !to_connect_.empty(); ++started) {
    const uint32_t number = to_connect_.front();
    to_connect_.pop_front();
    if (agents_[number]->link == nullptr) MESHCA_RETURN_IF_ERROR(StartConnection(number));
  }
  return absl::OkStatus();
}

absl::Status AgentsLoad::StartConnection(uint32_t number) {
  Agent& agent = *agents_[number];
  MESHCA_ASSIGN_OR_RETURN(TlsSocket socket, target_->StartConnection());
  agent.link = std::make_unique<Link>(*this, agent, agent.purpose);
  Link& link = *agent.link;
  link.generation = ++next_generation_;
  link.socket = std::move(socket);
  SSL* const ssl = link.socket.ssl.get();
  SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);  // ten thousand connections at rest need none
  if (agent.purpose != Purpose::kJoin) {
    if (SSL_use_certificate(ssl, agent.certificate.get()) != 1 || SSL_use_PrivateKey(ssl, agent.key.get()) != 1) {
      return OpenSslError("SSL_use_certificate");
    }
    for (X509* issuer : agent.issuers) SSL_add1_chain_cert(ssl, issuer);
  }
  ++connecting_;
  epoll_event event = {};
  event.events = link.watched = EPOLLOUT;
  event.data.u64 = uint64_t{link.generation} << 32 | number;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, link.socket.fd.get(), &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl");
  }
  return absl::OkStatus();
}

void AgentsLoad::OnSocket(Agent& agent, uint32_t events) {
  Link& link = *agent.link;
  absl::Status status;
  if (link.state != Link::State::kOpen) {
    status = ShakeHands(agent);
  } else {
    status = (events & ~EPOLLOUT) != 0 ? link.connection->OnReadable() : link.connection->Flush();
  }
  if (!status.ok() && !agent.drop) {
    Count(status);
    agent.drop = agent.connect = true;
  }
  AfterServing(agent);
}

absl::Status AgentsLoad::ShakeHands(Agent& agent) {
  Link& link = *agent.link;
  if (link.state == Link::State::kConnecting) {
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(link.socket.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return absl::UnavailableError(absl::StrCat("connect: ", std::strerror(error)));
    link.state = Link::State::kShaking;
  }
  const int done = SSL_do_handshake(link.socket.ssl.get());
  if (done == 1) {
    OnOpen(agent);
    return absl::OkStatus();
  }
  switch (SSL_get_error(link.socket.ssl.get(), done)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return absl::OkStatus();
    default: return absl::UnavailableError(absl::StrCat("TLS handshake: ", OpenSslError("SSL_do_handshake").message()));
  }
}

void AgentsLoad::OnOpen(Agent& agent) {
  Link& link = *agent.link;
  link.state = Link::State::kOpen;
  --connecting_;
  ++counts_.connections;
  StreamEvents& events = link;
  link.connection = std::make_unique<StreamConnection>(
      Dialled{std::move(link.socket.fd), OpenSslPtr<SSL, SSL_free>(link.socket.ssl.release())}, events);
  if (link.purpose == Purpose::kJoin) {
    v1::JoinRequest request;
    request.set_csr(CsrOf(agent.key.get()));
    request.set_agent_version("meshca-bench");
    std::vector<nghttp2_nv> headers = Headers(kJoinPath, target_->authority());
    const std::string bearer = absl::StrCat("Bearer ", agent.token);
    headers.push_back(Header("authorization", bearer));
    link.connection->Open(kStream, headers, Framed(request.SerializeAsString()), /*only=*/true);
  } else if (link.purpose == Purpose::kAttach) {
    OpenAttach(agent);
  } else if (!std::exchange(agent.at_purpose, true)) {
    ++at_purpose_;
  }
}

// The only place where a connection is destroyed or its bytes are written: nobody stands in its callbacks here.
void AgentsLoad::AfterServing(Agent& agent) {
  if (agent.link != nullptr && !agent.drop) {
    if (agent.link->connection != nullptr) {
      if (const absl::Status status = agent.link->connection->Flush(); !status.ok() && !agent.drop) {
        Count(status);
        agent.drop = agent.connect = true;
      }
    }
    if (!agent.drop) return Watch(agent);
  }
  if (std::exchange(agent.drop, false)) Drop(agent);
  Follow(agent);
  if (std::exchange(agent.connect, false)) {
    if (std::exchange(agent.renewed, false)) return ConnectAgain(agent);
    Add(kRetry, agent, Due::kConnect);
  }
}

void AgentsLoad::Watch(Agent& agent) {
  Link& link = *agent.link;
  uint32_t wanted = EPOLLIN;
  if (link.connection != nullptr) {
    if (link.connection->blocked()) wanted |= EPOLLOUT;
  } else if (link.state == Link::State::kConnecting || SSL_want_write(link.socket.ssl.get())) {
    wanted = EPOLLOUT;
  }
  if (wanted == link.watched) return;
  link.watched = wanted;
  epoll_event event = {};
  event.events = wanted;
  event.data.u64 = uint64_t{link.generation} << 32 | agent.number;
  const int fd = link.connection != nullptr ? link.connection->fd() : link.socket.fd.get();
  MESHCA_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

void AgentsLoad::Drop(Agent& agent) {
  if (agent.link == nullptr) return;
  const std::unique_ptr<Link> link = std::move(agent.link);
  if (link->state != Link::State::kOpen) --connecting_;
  for (auto& [number, call] : link->calls) {
    if (call.for_load) --batches_open_;
    if (!call.for_load && agent.self.has_value()) agent.self->TakeFailure(call.wishes);
  }
  if (agent.self.has_value()) agent.self->Detach();
  agent.report_due = false;
}

// --- time ---

void AgentsLoad::Add(absl::Duration in, const Agent& agent, Due due) {
  timers_.push({absl::ToUnixNanos(absl::Now() + in), agent.number, due});
}

void AgentsLoad::Fire(const Timer& timer) {
  Agent& agent = *agents_[timer.agent];
  if (timer.due == Due::kConnect) return ConnectAgain(agent);
  if (agent.link == nullptr || agent.link->connection == nullptr || !agent.self.has_value()) {
    // Whoever attaches again reports at once, and starts its heartbeats anew.
    return;
  }
  if (timer.due == Due::kSign) AskForWishes(agent);
  if (timer.due == Due::kReport && std::exchange(agent.report_due, false)) SendReport(agent);
  if (timer.due == Due::kHeartbeat) {
    const absl::Duration left = agent.reported_at + agent.self->heartbeat() - absl::Now();
    if (left <= absl::ZeroDuration()) SendReport(agent);
    Add(left <= absl::ZeroDuration() ? agent.self->heartbeat() : left, agent, Due::kHeartbeat);
  }
  AfterServing(agent);
}

void AgentsLoad::Count(const absl::Status& error) {
  ++counts_.errors[absl::StatusCodeToString(error.code())];
  if (counts_.first_error.empty()) counts_.first_error = std::string(error.message());
}

// --- the protocol ---

void AgentsLoad::OpenAttach(Agent& agent) {
  agent.link->connection->Open(kStream, attach_headers_, Framed(agent.self->Hello().SerializeAsString()));
}

void AgentsLoad::SendReport(Agent& agent) {
  if (!agent.self->told_all()) return;
  ++counts_.reports;
  agent.reported_at = absl::Now();
  agent.link->connection->Send(kStream, Framed(agent.self->Report().SerializeAsString()));
}

// After anything that may have changed what the agent has to say or to ask.
void AgentsLoad::Follow(Agent& agent) {
  const bool settled = agent.self.has_value() && agent.self->settled();
  if (settled != agent.settled) settled_ += settled ? 1 : size_t(-1);
  agent.settled = settled;
  if (agent.self.has_value() && agent.self->has_news() && !std::exchange(agent.report_due, true)) {
    Add(std::max(absl::ZeroDuration(), agent.reported_at + kReportGap - absl::Now()), agent, Due::kReport);
  }
}

void AgentsLoad::OnMessage(Agent& agent, uint32_t stream, absl::string_view message) {
  absl::Status status;
  if (stream != kStream) {
    TakeSigned(agent, stream, message);
  } else {
    status = agent.link->purpose == Purpose::kJoin ? TakeJoin(agent, message) : TakeAttach(agent, message);
  }
  // What breaks the protocol would do so again.
  if (!status.ok() && fatal_.ok()) fatal_ = status;
  Follow(agent);
}

absl::Status AgentsLoad::TakeJoin(Agent& agent, absl::string_view message) {
  v1::JoinResponse response;
  if (!response.ParseFromArray(message.data(), static_cast<int>(message.size()))) return NoCertificate();
  MESHCA_RETURN_IF_ERROR(SetOwnCertificate(agent, response.chain()));
  agent.self.emplace(response.node(),
                     absl::StrCat("spiffe://", response.trust_domain(), "/meshca/agent/", response.node()),
                     options_.consumers);
  MESHCA_ASSIGN_OR_RETURN(std::string serial, SerialOf(response.chain(0)));
  agent.self->set_own_serial(std::move(serial));
  TakeRoots(response.trust());
  if (!std::exchange(agent.at_purpose, true)) ++at_purpose_;
  agent.drop = true;
  return absl::OkStatus();
}

absl::Status AgentsLoad::SetOwnCertificate(Agent& agent, const google::protobuf::RepeatedPtrField<std::string>& chain) {
  if (chain.empty()) return NoCertificate();
  agent.certificate = ParseCertificate(chain.Get(0));
  if (agent.certificate == nullptr) return NoCertificate();
  agent.issuers.clear();
  for (int i = 1; i < chain.size(); ++i) {
    X509Ptr& issuer = issuers_[chain.Get(i)];
    if (issuer == nullptr) issuer = ParseCertificate(chain.Get(i));
    if (issuer == nullptr) return NoCertificate();
    agent.issuers.push_back(issuer.get());
  }
  return absl::OkStatus();
}

void AgentsLoad::TakeRoots(const v1::Trust& trust) {
  for (const v1::TrustDomainKeys& domain : trust.domains()) {
    for (const std::string& der : domain.x509_authorities()) {
      if (std::exchange(known_roots_[der], true)) continue;
      const X509Ptr root = ParseCertificate(der);
      if (root == nullptr) continue;
      target_->AddRoot(root.get());
      X509_STORE_add_cert(roots_.get(), root.get());
    }
  }
}

absl::Status AgentsLoad::TakeAttach(Agent& agent, absl::string_view bytes) {
  v1::AttachResponse message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError("a message of the CA that is no protobuf");
  }
  MESHCA_RETURN_IF_ERROR(agent.self->Take(message));
  if (message.has_trust()) TakeRoots(message.trust());
  if (message.has_welcome()) {
    // The first one after a part of the time that differs from agent to agent: they would beat together otherwise.
    agent.reported_at = absl::Now() - kReportGap;
    Add(agent.self->heartbeat() * (static_cast<double>(agent.number + 1) / static_cast<double>(agents_.size())), agent,
        Due::kHeartbeat);
  }
  AskForWishes(agent);
  return absl::OkStatus();
}

void AgentsLoad::AskForWishes(Agent& agent) {
  while (true) {
    const std::vector<SimulatedAgent::Wish> wishes = agent.self->TakeWishes(kBatchMax);
    if (wishes.empty()) return;
    SendSign(agent, wishes, /*for_load=*/false);
  }
}

void AgentsLoad::SendSign(Agent& agent, const std::vector<SimulatedAgent::Wish>& wishes, bool for_load) {
  Link& link = *agent.link;
  v1::SignRequest request;
  Link::Call call;
  for (const SimulatedAgent::Wish& wish : wishes) {
    v1::CertificateRequest& one = *request.add_requests();
    one = agent.self->RequestFor(wish);
    if (for_load) one.clear_parent_serial();
    if (wish.entry == SimulatedAgent::Wish::kOwn) {
      agent.next_key = MakeP256Key();
      one.set_csr(CsrOf(agent.next_key.get()));
    } else {
      one.set_csr(TakeRequest());
    }
    call.csrs.push_back(one.csr());
  }
  call.wishes = wishes;
  call.for_load = for_load;
  call.begun = absl::Now();
  const uint32_t number = ++link.last_call;
  link.calls.emplace(number, std::move(call));
  link.connection->Open(number, sign_headers_, Framed(request.SerializeAsString()), /*only=*/true);
}

void AgentsLoad::TakeSigned(Agent& agent, uint32_t stream, absl::string_view message) {
  Link::Call& call = agent.link->calls.at(stream);
  call.answered = true;
  counts_.sign.Record(absl::Now() - call.begun);
  v1::SignResponse response;
  if (!response.ParseFromArray(message.data(), static_cast<int>(message.size())) ||
      static_cast<size_t>(response.results_size()) != call.wishes.size()) {
    fatal_ = absl::DataLossError("an answer to Sign that does not fit its request");
    return;
  }
  bool again = false;
  for (size_t i = 0; i < call.wishes.size(); ++i) {
    const v1::CertificateResult& result = response.results(static_cast<int>(i));
    const SimulatedAgent::Wish& wish = call.wishes[i];
    absl::Status taken;
    if (call.for_load) {
      taken = result.code() == 0 ? absl::OkStatus() : absl::Status(absl::StatusCode(result.code()), result.message());
    } else {
      taken = wish.entry == SimulatedAgent::Wish::kOwn ? TakeOwn(agent, result) : agent.self->TakeResult(wish, result);
    }
    if (!taken.ok()) {
      Count(taken);
      again = true;
      continue;
    }
    if (counts_.certificates++ % options_.check_one_in != 0) continue;
    ++counts_.checked_whole;
    const absl::Status right = CheckAnswer(result, call.csrs[i], agent.self->IdOf(wish), roots_.get());
    if (!right.ok() && fatal_.ok()) fatal_ = right;
  }
  if (again && !call.for_load) Add(kRetry, agent, Due::kSign);
}

absl::Status AgentsLoad::TakeOwn(Agent& agent, const v1::CertificateResult& result) {
  if (result.code() != 0) {
    agent.self->TakeFailure({{SimulatedAgent::Wish::kOwn}});
    return absl::Status(static_cast<absl::StatusCode>(result.code()), result.message());
  }
  MESHCA_RETURN_IF_ERROR(SetOwnCertificate(agent, result.chain()));
  MESHCA_ASSIGN_OR_RETURN(std::string serial, SerialOf(result.chain(0)));
  agent.self->set_own_serial(std::move(serial));
  agent.key = std::move(agent.next_key);
  agent.renewed = true;
  ++counts_.own_renewals;
  return absl::OkStatus();
}

void AgentsLoad::OnEnd(Agent& agent, uint32_t stream, const absl::Status& status) {
  Link& link = *agent.link;
  if (stream == kStream) {
    if (agent.drop) return;
    Count(status.ok() ? absl::UnavailableError("the CA ended a stream in good order") : status);
    agent.drop = agent.connect = true;
    return;
  }
  const auto found = link.calls.find(stream);
  if (found == link.calls.end()) return;
  const Link::Call call = std::move(found->second);
  link.calls.erase(found);
  if (call.for_load) --batches_open_;
  if (!call.answered) {
    Count(status);
    if (!call.for_load) {
      agent.self->TakeFailure(call.wishes);
      Add(kRetry, agent, Due::kSign);
    }
  }
  if (call.for_load) SendBatches();
  if (agent.renewed && link.calls.empty()) agent.drop = agent.connect = true;
  Follow(agent);
}

// Keeps as many calls open as were asked for, on the agents in turn that have none.
void AgentsLoad::SendBatches() {
  for (const auto& agent : agents_) {
    if (batches_left_ == 0 || batches_open_ >= batches_in_flight_) return;
    if (!agent->settled || agent->link == nullptr || !agent->link->calls.empty()) continue;
    const size_t held = agent->self->certificates();
    if (held == 0) continue;
    std::vector<SimulatedAgent::Wish> wishes;
    for (size_t i = 0; i < batch_; ++i) wishes.push_back({static_cast<int>(i % held)});
    --batches_left_;
    ++batches_open_;
    SendSign(*agent, wishes, /*for_load=*/true);
    // Its own callbacks may be running; its bytes leave at the next turn.
    Add(absl::ZeroDuration(), *agent, Due::kSign);
  }
}

}  // namespace meshca::bench
