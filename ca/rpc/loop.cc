#include "ca/rpc/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "ca/base/check.h"
#include "ca/base/entropy.h"
#include "ca/base/status.h"
#include "ca/rpc/connection.h"

namespace meshca::rpc {
namespace {

// After this long a round serves no second connection of any source, and runs no more tasks: what comes meanwhile gets
// its turn in the next one.
constexpr int64_t kRoundNs = 4'000'000;
// Tasks between two looks at the clock.
constexpr size_t kTasksAtOnce = 16;
// Answers wait no longer than this for the other connections of their round.
constexpr int64_t kFlushEveryNs = 500'000;
constexpr int64_t kWaitingRetryNs = 20'000'000;
// Paced handshake steps in one round, when the budget of time allows them.
constexpr int kPacedPerRound = 4;

// What this thread has had of a core: time in which the system ran something else is not a handshake's.
int64_t ThreadCpuNanos() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

uint64_t Seed() {
  std::array<uint8_t, sizeof(uint64_t)> bytes;
  SystemEntropy().Fill(bytes);
  uint64_t seed = 0;
  std::memcpy(&seed, bytes.data(), sizeof seed);
  return seed;
}

}  // namespace

int64_t MonotonicNanos() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

absl::StatusOr<std::unique_ptr<Loop>> Loop::Create(Edge& edge) {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoStatus(errno, "epoll_create1");
  UniqueFd event(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!event.valid()) return ErrnoStatus(errno, "eventfd");
  return std::unique_ptr<Loop>(new Loop(edge, std::move(epoll), std::make_shared<Mailbox>(std::move(event))));
}

Loop::Loop(Edge& edge, UniqueFd epoll, std::shared_ptr<Mailbox> mailbox)
    : edge_(edge), epoll_(std::move(epoll)), mailbox_(std::move(mailbox)), lanes_(Seed()), events_(kEventsPerRound) {
  Watch(mailbox_->event_fd(), *this, EPOLLIN);
}

Loop::~Loop() { MESHCA_CHECK(!thread_.joinable()); }

void Loop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Loop::Join() {
  if (thread_.joinable()) thread_.join();
}

void Loop::Watch(int fd, EventTarget& target, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &target;
  MESHCA_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
}

void Loop::Change(int fd, EventTarget& target, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &target;
  MESHCA_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

void Loop::Unwatch(int fd) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

void Loop::OnEvents(uint32_t events) {
  uint64_t count = 0;
  [[maybe_unused]] ssize_t bytes = ::read(mailbox_->event_fd(), &count, sizeof count);
}

void Loop::Run() {
  mailbox_->Enter();
  now_ns_ = MonotonicNanos();
  while (!draining_ || !(connections_.empty() || now_ns_ >= drain_end_ns_)) {
    Wait();
    stats_.rounds.Add();
    RunDeferred();
    RunPaced();
    RunTasks();
    now_ns_ = MonotonicNanos();
    timers_.RunDue(now_ns_);
    FlushDirty();
    BuryDead();
  }
  for (auto& [id, connection] : connections_) connection->Abandon();
  connections_.clear();
  timers_.Cancel(*this);
  tasks_.clear();  // unrun, as those that the mailbox still has
  mailbox_->Close();
  mailbox_->Leave();
}

void Loop::Wait() {
  int timeout_ms = -1;
  int64_t due = std::min(timers_.next_due(), drain_end_ns_);
  if (!deferred_.empty() || !dirty_.empty() || !tasks_.empty()) {
    timeout_ms = 0;
  } else if (due != TimerHeap::kNever) {
    const int64_t left = due - MonotonicNanos();
    timeout_ms = left <= 0 ? 0 : static_cast<int>(std::min<int64_t>(left / 1'000'000 + 1, 60'000));
  }
  if (!lanes_.empty()) {
    const int lanes_ms = lanes_.Ready(MonotonicNanos()) ? 0 : 1;
    timeout_ms = timeout_ms < 0 ? lanes_ms : std::min(timeout_ms, lanes_ms);
  }
  const int count = epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), timeout_ms);
  now_ns_ = MonotonicNanos();
  handshake_turns_ = kHandshakesPerRound;
  if (count > 0) ServeReady({events_.data(), static_cast<size_t>(count)});
}

void Loop::ServeReady(std::span<const epoll_event> ready) {
  // epoll tells again of whoever was passed over, in the same order. Chance decides where to begin, so that no
  // connection is the last of its source each time.
  const size_t first = cut_short_ ? lanes_.Chance() % ready.size() : 0;
  cut_short_ = false;
  const int64_t began_ns = now_ns_;
  int64_t flushed_ns = now_ns_;
  for (const Turns::Ready& one : turns_.Arrange(ready, first)) {
    if (one.turn > 0 && now_ns_ - began_ns > kRoundNs) {
      cut_short_ = true;
      return;
    }
    one.target->OnEvents(one.events);
    now_ns_ = MonotonicNanos();
    if (now_ns_ - flushed_ns < kFlushEveryNs) continue;
    FlushDirty();
    flushed_ns = now_ns_;
  }
}

void Loop::RunTasks() {
  const bool some_were_left = !tasks_.empty();
  if (!some_were_left) mailbox_->Take(tasks_);
  if (!RunTaken() || !some_were_left) return;
  // The mailbox's word that there are more may have come while some were left, and comes once.
  mailbox_->Take(tasks_);
  RunTaken();
}

bool Loop::RunTaken() {
  const int64_t until_ns = tasks_.size() > kTasksAtOnce ? MonotonicNanos() + kRoundNs : 0;
  while (tasks_done_ < tasks_.size()) {
    std::move(tasks_[tasks_done_++])();
    if (tasks_done_ % kTasksAtOnce == 0 && tasks_done_ < tasks_.size() && MonotonicNanos() > until_ns) return false;
  }
  tasks_.clear();
  tasks_done_ = 0;
  if (tasks_.capacity() > 4096) tasks_.shrink_to_fit();
  return true;
}

void Loop::RunDeferred() {
  for (size_t i = deferred_.size(); i > 0; --i) {
    const uint64_t id = deferred_.front();
    deferred_.pop_front();
    if (auto found = connections_.find(id); found != connections_.end()) found->second->OnDeferred();
  }
}

void Loop::RunPaced() {
  for (int i = 0; i < kPacedPerRound && !lanes_.empty(); ++i) {
    if (!lanes_.Ready(MonotonicNanos())) return;
    const int64_t began_ns = ThreadCpuNanos();
    static_cast<Connection*>(lanes_.Next())->OnPacedTurn();
    lanes_.Spend(ThreadCpuNanos() - began_ns);
  }
}

void Loop::FlushDirty() {
  // Flushing ends streams, whose handlers may send on other connections and so mark them dirty.
  for (size_t i = 0; i < dirty_.size(); ++i) dirty_[i]->Flush();
  dirty_.clear();
  if (write_buffer_.capacity() > (size_t{1} << 20)) std::string().swap(write_buffer_);
}

void Loop::BuryDead() {
  for (size_t i = 0; i < dead_.size(); ++i) {
    dead_[i]->Abandon();
    connections_.erase(dead_[i]->id());
  }
  dead_.clear();
}

void Loop::Adopt(std::unique_ptr<Connection> connection) {
  Connection& adopted = *connection;
  connections_.emplace(adopted.id(), std::move(connection));
  adopted.Start();
}

void Loop::MarkDirty(Connection& connection) { dirty_.push_back(&connection); }
void Loop::Defer(Connection& connection) { deferred_.push_back(connection.id()); }
void Loop::Bury(Connection& connection) { dead_.push_back(&connection); }

bool Loop::TakeHandshakeTurn() {
  if (handshake_turns_ <= 0) return false;
  --handshake_turns_;
  return true;
}

void Loop::WaitForHandshake(Connection& connection) {
  waiting_.push_back(connection.id());
  // Not moved by whoever comes next: under a flood it would never be due.
  if (!std::exchange(retry_set_, true)) timers_.Set(*this, now_ns_ + kWaitingRetryNs);
}

void Loop::HandshakeEnded(Connection& connection) {
  handshaking_.erase(&connection);
  if (!waiting_.empty()) AdmitWaiting();
}

void Loop::OnTimer() {
  EndStalledHandshakes();
  AdmitWaiting();
  retry_set_ = !waiting_.empty();
  if (retry_set_) timers_.Set(*this, now_ns_ + kWaitingRetryNs);
}

void Loop::AdmitWaiting() {
  // Whoever still gets no turn (its source has too many) waits on at the end. A few at a time: the rest is next.
  const size_t tries = std::min<size_t>(waiting_.size(), 64);
  for (size_t i = 0; i < tries; ++i) {
    // Whose turn it is, chance decides: behind thousands who only hold their place, the order of arrival would bring
    // nobody's turn before its time is over.
    std::swap(waiting_.front(), waiting_[lanes_.Chance() % waiting_.size()]);
    const uint64_t id = waiting_.front();
    waiting_.pop_front();
    deferred_.push_back(id);
  }
}

void Loop::EndStalledHandshakes() {
  std::vector<Connection*> stalled;
  for (Connection* connection : handshaking_) {
    if (stalled.size() >= waiting_.size()) break;
    if (connection->StallsOthers()) stalled.push_back(connection);
  }
  for (Connection* connection : stalled) connection->EndStalledHandshake();
}

Loop::Place Loop::GiveUpPlace(const std::vector<Room>& rooms, const Source& newcomer, bool of_newcomers_source) {
  Residents::Entry* idlest = nullptr;
  uint32_t most = 0;
  for (const Room room : rooms) {
    Residents& here = residents(room);
    Residents::Entry* const candidate = of_newcomers_source ? here.IdlestOf(newcomer) : here.IdlestOfTheLargest();
    if (candidate == nullptr) continue;
    const uint32_t count = Residents::SourceOf(*candidate).connections.load(std::memory_order_relaxed);
    if (idlest != nullptr && count <= most) continue;
    idlest = candidate;
    most = count;
  }
  if (idlest == nullptr) return Place::kNobodyHere;
  if (!of_newcomers_source && most <= newcomer.connections.load(std::memory_order_relaxed) + 1) {
    return Place::kNobodyLarger;
  }
  static_cast<Connection*>(idlest)->GiveWay();
  return Place::kGivenUp;
}

void Loop::ListCertified(std::vector<std::shared_ptr<const Peer>>& peers) const {
  for (const auto& [id, connection] : connections_) {
    if (connection->serves_certificate()) peers.push_back(connection->peer());
  }
}

void Loop::Withdraw(const std::vector<uint64_t>& ids, const std::string& why) {
  for (const uint64_t id : ids) {
    if (const auto found = connections_.find(id); found != connections_.end()) found->second->Withdraw(why);
  }
}

void Loop::Drain(absl::Duration grace) {
  if (draining_) return;
  draining_ = true;
  drain_end_ns_ = now_ns_ + std::min<int64_t>(absl::ToInt64Nanoseconds(grace), int64_t{86'400} * 1'000'000'000);
  for (auto& [id, connection] : connections_) connection->Drain("the server is shutting down");
}

}  // namespace meshca::rpc
