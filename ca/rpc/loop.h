// One epoll loop and its thread: the home of its connections, their calls and streams.
#ifndef MESHCA_CA_RPC_LOOP_H_
#define MESHCA_CA_RPC_LOOP_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/unique_fd.h"
#include "ca/rpc/edge.h"
#include "ca/rpc/loop_stats.h"
#include "ca/rpc/mailbox.h"
#include "ca/rpc/paced_lanes.h"
#include "ca/rpc/peer.h"
#include "ca/rpc/residents.h"
#include "ca/rpc/timer_heap.h"
#include "ca/rpc/turns.h"

namespace meshca::rpc {

class Connection;

// Apart from Create, Start, Join, connections() and the mailbox, everything is the loop thread's.
class Loop final : private EventTarget, private Timer {
 public:
  // Handshake steps in one round of the loop: one costs up to a millisecond, and calls wait meanwhile.
  static constexpr int kHandshakesPerRound = 4;
  static constexpr size_t kReadBytes = 32 * 1024;
  // What epoll tells at once. All of it, most often: only who is known to be ready can have a turn.
  static constexpr size_t kEventsPerRound = 1024;

  // `edge` outlives the loop. Errors: Internal (descriptors).
  static absl::StatusOr<std::unique_ptr<Loop>> Create(Edge& edge);
  ~Loop();

  void Start();
  void Join();
  const std::shared_ptr<Mailbox>& mailbox() const { return mailbox_; }
  LoopStats& stats() { return stats_; }
  const LoopStats& stats() const { return stats_; }
  // Connections here or on their way: what balances them over the loops.
  std::atomic<uint32_t>& load() { return load_; }

  Edge& edge() { return edge_; }
  TimerHeap& timers() { return timers_; }
  Residents& residents(Room room) { return residents_[static_cast<size_t>(room)]; }
  PacedLanes& lanes() { return lanes_; }
  // The time this round began, or a timer's or task's turn came.
  int64_t now_ns() const { return now_ns_; }
  // Scratch memory: one for all connections, because only one reads or writes at a time.
  std::array<char, kReadBytes>& read_buffer() { return read_buffer_; }
  std::string& write_buffer() { return write_buffer_; }

  void Watch(int fd, EventTarget& target, uint32_t events);
  void Change(int fd, EventTarget& target, uint32_t events);
  void Unwatch(int fd);

  void Adopt(std::unique_ptr<Connection> connection);
  // Calls connection.Flush() at the end of the round.
  void MarkDirty(Connection& connection);
  // Calls connection.OnDeferred() in the next round.
  void Defer(Connection& connection);
  // Destroys the connection at the end of the round.
  void Bury(Connection& connection);

  // Ends one connection so that `newcomer` has its place: of `newcomer` itself, or of the source with the most
  // connections in `rooms`, if that has more than `newcomer` will have.
  enum class Place { kGivenUp, kNobodyHere, kNobodyLarger };
  Place GiveUpPlace(const std::vector<Room>& rooms, const Source& newcomer, bool of_newcomers_source);

  // A handshake step may run now. Otherwise call Defer.
  bool TakeHandshakeTurn();
  // No handshake may begin: OnDeferred follows when one may.
  void WaitForHandshake(Connection& connection);
  // A handshake has begun, or ended.
  void HandshakeBegan(Connection& connection) { handshaking_.insert(&connection); }
  void HandshakeEnded(Connection& connection);

  // Tells every connection to finish; the thread ends when all have, or after `grace`.
  void Drain(absl::Duration grace);
  bool draining() const { return draining_; }

  // Who shows a client certificate here; appended to `peers`.
  void ListCertified(std::vector<std::shared_ptr<const Peer>>& peers) const;
  // Connection::Withdraw for those of `ids` that live here.
  void Withdraw(const std::vector<uint64_t>& ids, const std::string& why);

 private:
  explicit Loop(Edge& edge, UniqueFd epoll, std::shared_ptr<Mailbox> mailbox);
  void OnEvents(uint32_t events) override;  // the mailbox
  void OnTimer() override;                  // handshakes that wait for a turn freed on another loop
  void Run();
  void Wait();
  void ServeReady(std::span<const epoll_event> ready);
  void RunTasks();
  // Runs those of tasks_; false when its time was up before the last.
  bool RunTaken();
  void RunDeferred();
  void RunPaced();
  void FlushDirty();
  void BuryDead();
  void AdmitWaiting();
  void EndStalledHandshakes();

  Edge& edge_;
  const UniqueFd epoll_;
  const std::shared_ptr<Mailbox> mailbox_;
  std::thread thread_;
  std::atomic<uint32_t> load_{0};
  LoopStats stats_;

  TimerHeap timers_;
  int64_t now_ns_ = 0;
  int handshake_turns_ = 0;
  std::array<Residents, kRooms> residents_;  // by Room
  PacedLanes lanes_;
  absl::flat_hash_set<Connection*> handshaking_;  // those that hold one of their source's turns
  absl::flat_hash_map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<epoll_event> events_;
  Turns turns_;
  bool cut_short_ = false;  // the last round did not serve all that was ready
  std::vector<Mailbox::Task> tasks_;
  size_t tasks_done_ = 0;  // of tasks_
  std::vector<Connection*> dirty_;
  std::vector<Connection*> dead_;
  std::deque<uint64_t> deferred_;  // by id: they may die first
  std::deque<uint64_t> waiting_;   // for one of their source's handshakes to end
  bool retry_set_ = false;         // OnTimer comes for those
  std::array<char, kReadBytes> read_buffer_;
  std::string write_buffer_;
  bool draining_ = false;
  int64_t drain_end_ns_ = TimerHeap::kNever;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_LOOP_H_
