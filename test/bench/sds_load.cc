#include "test/bench/sds_load.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/base/check.h"
#include "ca/base/status.h"

namespace meshca::bench {
namespace {

constexpr int kEventsPerTurn = 256;
constexpr uint32_t kExtra = ~uint32_t{0};  // in place of a connection's number
// Beside the sockets: the standard ones, epoll, a command's pidfd, files of the resolver.
constexpr size_t kOtherDescriptors = 64;
constexpr int kConnectionsPerTurn = 32;
// Reading whole costs more than the rest of the client together.
constexpr uint32_t kCheckOneIn = 100;

uint64_t HashOf(absl::string_view version) {
  const uint64_t hash = std::hash<std::string_view>()({version.data(), version.size()});
  return hash == 0 ? 1 : hash;
}

const char* PathOf(Discovery discovery) {
  switch (discovery) {
    case Discovery::kStateOfTheWorld: return "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets";
    case Discovery::kDelta: return "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets";
    case Discovery::kWorkloadX509: return "/SpiffeWorkloadAPI/FetchX509SVID";
  }
  return "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<SdsLoad>> SdsLoad::Create(SdsLoadOptions options) {
  if (options.connections == 0) options.connections = options.streams;
  if (options.streams < 1 || options.connections < 1 || options.connections > options.streams) {
    return absl::InvalidArgumentError("there must be streams, and no more connections than streams");
  }
  if (options.discovery == Discovery::kWorkloadX509) options.resources = {kX509Svid};
  if (options.resources.empty()) return absl::InvalidArgumentError("name a secret to subscribe to");
  MESHCA_RETURN_IF_ERROR(AllowDescriptors(options.connections + kOtherDescriptors));
  MESHCA_ASSIGN_OR_RETURN(Dialler dialler, Dialler::Create(options.server));
  std::unique_ptr<SdsLoad> load(new SdsLoad(std::move(options), std::move(dialler)));
  if (!load->epoll_.valid()) return ErrnoStatus(errno, "epoll_create1");
  return load;
}

SdsLoad::SdsLoad(SdsLoadOptions options, Dialler dialler)
    : options_(std::move(options)),
      dialler_(std::move(dialler)),
      requests_(options_.discovery, options_.resources),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      path_(PathOf(options_.discovery)) {
  headers_ = {Header(":method", "POST"), Header(":scheme", dialler_.tls() ? "https" : "http"),
              Header(":path", path_),    Header(":authority", dialler_.authority()),
              Header("te", "trailers"),  Header("content-type", "application/grpc")};
  if (options_.discovery == Discovery::kWorkloadX509) headers_.push_back(Header("workload.spiffe.io", "true"));
  streams_.resize(options_.streams);
  connections_.reserve(options_.connections);
}

SdsLoad::~SdsLoad() = default;

absl::Status SdsLoad::Open(absl::Time deadline) {
  live_ = unready_ = options_.streams;
  for (Stream& stream : streams_) stream.missing = options_.resources.size();
  for (int i = 0; i < options_.connections; ++i) {
    MESHCA_RETURN_IF_ERROR(OpenConnection(i));
    if (i % kConnectionsPerTurn == 0) MESHCA_RETURN_IF_ERROR(Turn(0));
  }
  MESHCA_ASSIGN_OR_RETURN(const bool ready, ServeUntil([this] { return unready_ == 0; }, deadline));
  if (!first_end_.ok())
    return Annotate(first_end_, absl::StrCat(options_.streams - live_, " streams ended; the first"));
  if (ready) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat(unready_, " of ", options_.streams, " streams did not receive what they asked for"));
}

// Stream n is on connection n modulo their number.
absl::Status SdsLoad::OpenConnection(int number) {
  MESHCA_ASSIGN_OR_RETURN(Dialled dialled, dialler_.Dial());
  StreamEvents& events = *this;
  connections_.push_back(std::make_unique<StreamConnection>(std::move(dialled), events));
  StreamConnection& connection = *connections_.back();
  for (int stream = number; stream < options_.streams; stream += options_.connections) {
    connection.Open(stream, headers_, requests_.Subscribe(absl::StrCat(options_.node_id_prefix, stream)));
  }
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u32 = number;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.fd(), &event) != 0) return ErrnoStatus(errno, "epoll_ctl");
  MESHCA_RETURN_IF_ERROR(connection.Flush());
  Arm(number);
  return absl::OkStatus();
}

void SdsLoad::Arm(uint32_t number) {
  StreamConnection& connection = *connections_[number];
  if (connection.blocked() == connection.watches_room) return;
  connection.watches_room = connection.blocked();
  epoll_event event = {};
  event.events = connection.watches_room ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.u32 = number;
  MESHCA_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection.fd(), &event) == 0);
}

absl::StatusOr<bool> SdsLoad::ServeUntil(absl::FunctionRef<bool()> done, absl::Time deadline, int extra_fd) {
  if (extra_fd >= 0) {
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLONESHOT;
    event.data.u32 = kExtra;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, extra_fd, &event) != 0) return ErrnoStatus(errno, "epoll_ctl");
  }
  absl::Status status;
  bool is_done = false;
  while (status.ok() && !(is_done = done())) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) break;
    if (live_ == 0) status = absl::UnavailableError(absl::StrCat("no stream is left: ", first_end_.ToString()));
    const auto ms = std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, 1000);
    if (status.ok()) status = Turn(static_cast<int>(ms));
  }
  if (extra_fd >= 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, extra_fd, nullptr);
  if (!status.ok()) return status;
  return is_done;
}

absl::Status SdsLoad::Turn(int timeout_ms) {
  std::array<epoll_event, kEventsPerTurn> events;
  const int count = epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, timeout_ms);
  if (count < 0 && errno != EINTR) return ErrnoStatus(errno, "epoll_wait");
  for (int i = 0; i < count; ++i) {
    if (events[i].data.u32 != kExtra) Serve(events[i].data.u32, events[i].events);
  }
  return absl::OkStatus();
}

void SdsLoad::Serve(uint32_t number, uint32_t events) {
  StreamConnection& connection = *connections_[number];
  now_ns_ = absl::GetCurrentTimeNanos();
  absl::Status status = (events & ~EPOLLOUT) != 0 ? connection.OnReadable() : connection.Flush();
  if (status.ok()) return Arm(number);
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.fd(), nullptr);
  connections_[number] = nullptr;
}

void SdsLoad::OnMessage(uint32_t number, absl::string_view message, std::string& answer) {
  Stream& stream = streams_[number];
  if (stream.ended) return;
  ++responses_;
  // Of the Workload API the whole message is what differs from one state to the next.
  const bool has_head = options_.discovery != Discovery::kWorkloadX509;
  const absl::StatusOr<ResponseHead> head = has_head ? ReadHead(message) : ResponseHead{message, ""};
  if (!head.ok()) return Broken(stream, head.status());
  if (stream.missing > 0 || number % kCheckOneIn == 0) TakeWhole(stream, message);
  if (stream.ended) return;
  const uint64_t version = HashOf(head->version);
  const bool is_new = version != stream.version || head->version.empty();
  stream.version = version;
  if (changing_ && is_new && stream.received_ns == 0) {
    stream.received_ns = now_ns_;
    if (first_received_ns_ == 0) {
      first_received_ns_ = now_ns_;
      if (on_first_) std::exchange(on_first_, nullptr)();
    }
    change_bytes_ += message.size();
  }
  requests_.AppendAck(*head, answer);
  if (answer.empty()) OnAnswered(number);  // there is nothing to answer: what was received is held
}

// Everything asked for is there, and nothing else.
void SdsLoad::TakeWhole(Stream& stream, absl::string_view message) {
  ++checked_whole_;
  const absl::StatusOr<std::vector<std::string>> names = CheckWhole(options_.discovery, message);
  if (!names.ok()) return Broken(stream, names.status());
  if (names->empty()) return Broken(stream, absl::InvalidArgumentError("a response without a secret"));
  for (const std::string& name : *names) {
    if (std::find(options_.resources.begin(), options_.resources.end(), name) == options_.resources.end()) {
      return Broken(stream, absl::InvalidArgumentError(absl::StrCat("secret \"", name, "\" was not asked for")));
    }
  }
  stream.missing -= std::min<uint32_t>(stream.missing, names->size());
}

void SdsLoad::OnAnswered(uint32_t number) {
  Stream& stream = streams_[number];
  if (stream.ended) return;
  if (unready_ > 0 && stream.missing == 0 && stream.answered_ns == 0) {
    stream.answered_ns = 1;
    --unready_;
  }
  if (!changing_ || stream.received_ns == 0 || stream.answered_ns != 0) return;
  stream.answered_ns = absl::GetCurrentTimeNanos();
  --change_left_;
}

void SdsLoad::Broken(Stream& stream, const absl::Status& why) {
  OnEnd(static_cast<uint32_t>(&stream - streams_.data()), why);
}

void SdsLoad::OnEnd(uint32_t number, const absl::Status& status) {
  Stream& stream = streams_[number];
  if (std::exchange(stream.ended, true)) return;
  if (first_end_.ok()) {
    first_end_ = status.ok() ? absl::UnavailableError("the server ended the stream in good order") : status;
  }
  const absl::string_view code = CodeName(status.code());
  ++ends_[std::string(code.data(), code.size())];
  --live_;
  if (unready_ > 0 && stream.answered_ns == 0) --unready_;
  if (changing_ && stream.answered_ns == 0) --change_left_;
}

void SdsLoad::BeginChange(std::function<void()> on_first) {
  on_first_ = std::move(on_first);
  for (Stream& stream : streams_) stream.received_ns = stream.answered_ns = 0;
  changing_ = true;
  change_left_ = live_;
  first_received_ns_ = 0;
  change_bytes_ = 0;
}

absl::StatusOr<SeenChange> SdsLoad::TakeChange() {
  changing_ = false;
  SeenChange seen;
  seen.first_received = absl::FromUnixNanos(first_received_ns_);
  seen.bytes = change_bytes_;
  for (const Stream& stream : streams_) {
    if (stream.received_ns != 0 && stream.answered_ns != 0) {
      seen.acknowledged.push_back(absl::FromUnixNanos(stream.answered_ns));
    }
  }
  if (change_left_ > 0) {
    return absl::DeadlineExceededError(
        absl::StrCat("the change reached ", seen.acknowledged.size(), " of ", live_, " streams"));
  }
  if (seen.acknowledged.empty()) return absl::UnavailableError("every stream ended before it saw the change");
  std::sort(seen.acknowledged.begin(), seen.acknowledged.end());
  return seen;
}

}  // namespace meshca::bench
