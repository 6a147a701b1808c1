#include "ca/rpc/server.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/cpu_count.h"
#include "ca/base/log.h"
#include "ca/base/mutex.h"
#include "ca/base/process_limits.h"
#include "ca/base/status.h"
#include "ca/rpc/connection.h"
#include "ca/rpc/edge.h"
#include "ca/rpc/http2_callbacks.h"
#include "ca/rpc/listener.h"
#include "ca/rpc/loop.h"

namespace meshca::rpc {
namespace {

constexpr int kLoopsMax = 16;

// What the loops tell of their connections. A task that a loop does not run any more counts as an empty answer.
class Gathering {
 public:
  using Peers = std::vector<std::shared_ptr<const Peer>>;

  explicit Gathering(size_t loops) : missing_(loops) {}

  // One loop's answer; given when it is destroyed.
  class Share {
   public:
    explicit Share(std::shared_ptr<Gathering> gathering) : gathering_(std::move(gathering)) {}
    Share(Share&&) = default;
    ~Share() {
      if (gathering_ != nullptr) gathering_->Add(std::move(peers));
    }
    Peers peers;

   private:
    std::shared_ptr<Gathering> gathering_;
  };

  Peers Wait() {
    MutexLock lock(mutex_);
    while (missing_ > 0) complete_.Wait(mutex_);
    return std::move(peers_);
  }

 private:
  void Add(Peers peers) {
    MutexLock lock(mutex_);
    peers_.insert(peers_.end(), std::make_move_iterator(peers.begin()), std::make_move_iterator(peers.end()));
    if (--missing_ == 0) complete_.NotifyAll();
  }

  Mutex mutex_;
  CondVar complete_;
  size_t missing_ ABSL_GUARDED_BY(mutex_);
  Peers peers_ ABSL_GUARDED_BY(mutex_);
};

class EdgeServer final : public Server {
 public:
  explicit EdgeServer(const ServerOptions& options) {
    edge_.global = options.global;
    edge_.source = options.source;
    edge_.streams.Part(options.global.streams_max, options.source.streams_max);
    edge_.buffered_bytes.Part(options.global.buffered_bytes_max, options.source.buffered_bytes_max);
    edge_.clock = options.clock;
  }

  ~EdgeServer() override { Shutdown(absl::ZeroDuration()); }

  absl::Status MakeLoops(int wanted) {
    int count = wanted;
    if (count <= 0) count = std::min(CpuCount(), kLoopsMax);
    for (int i = 0; i < count; ++i) {
      MESHCA_ASSIGN_OR_RETURN(auto loop, Loop::Create(edge_));
      loops_.push_back(std::move(loop));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> AddListener(ListenerOptions options) override {
    MESHCA_CHECK(!started_);
    MESHCA_CHECK(options.router != nullptr);
    std::string address;
    MESHCA_ASSIGN_OR_RETURN(auto listener, BindListener(std::move(options), address));
    if (listener->is_unix && listener->options.tls) {
      CloseListener(*listener);
      return absl::InvalidArgumentError("a Unix socket knows its peer by the kernel's word and has no TLS");
    }
    listener->http2_options = SessionOptions(listener->options.limits);
    listener->methods_offset = MethodsOffset(listener->options.router);
    listeners_.push_back(std::move(listener));
    return address;
  }

  void Start() override {
    MESHCA_CHECK(!started_);
    edge_.plan = PlanConnections(DescriptorLimit(), edge_.global, edge_.source);
    LogInfo("places for connections", {{"public", absl::StrCat(edge_.plan.public_max)},
                                       {"one_caller", absl::StrCat(edge_.plan.per_source_max)},
                                       {"privileged", absl::StrCat(edge_.plan.privileged_max)},
                                       {"open_files_max", absl::StrCat(DescriptorLimit())}});
    for (auto& loop : loops_) {
      loop->stats().methods = std::vector<MethodCounters>(MethodSlots());
      for (auto& listener : listeners_) {
        acceptors_.push_back(std::make_unique<Acceptor>(*loop, *listener, loops_));
        acceptors_.back()->Start();
      }
    }
    for (auto& loop : loops_) loop->Start();
    started_ = true;
  }

  void Shutdown(absl::Duration grace) override {
    if (stopped_) return;
    stopped_ = true;
    if (!started_) {
      for (auto& listener : listeners_) CloseListener(*listener);
      return;
    }
    loops_accepting_ = loops_.size();
    for (size_t i = 0; i < loops_.size(); ++i) {
      loops_[i]->mailbox()->Post([this, i, grace] {
        for (size_t j = 0; j < listeners_.size(); ++j) acceptors_[i * listeners_.size() + j]->Stop();
        // The last to let go closes, so that waiting clients hear at once and try elsewhere.
        if (loops_accepting_.fetch_sub(1) == 1) {
          for (auto& listener : listeners_) CloseListener(*listener);
        }
        loops_[i]->Drain(grace);
      });
    }
    for (auto& loop : loops_) loop->Join();
    acceptors_.clear();
  }

  std::vector<std::shared_ptr<const Peer>> CertifiedPeers() override {
    if (!started_) return {};
    auto gathering = std::make_shared<Gathering>(loops_.size());
    for (const auto& loop : loops_) {
      MESHCA_CHECK(!loop->mailbox()->OnLoop());
      loop->mailbox()->Post(
          [&loop = *loop, share = Gathering::Share(gathering)]() mutable { loop.ListCertified(share.peers); });
    }
    return gathering->Wait();
  }

  void Cut(std::vector<uint64_t> connection_ids, std::string why) override {
    if (!started_ || connection_ids.empty()) return;
    const auto ids = std::make_shared<const std::vector<uint64_t>>(std::move(connection_ids));
    for (const auto& loop : loops_) {
      loop->mailbox()->Post([&loop = *loop, ids, why] { loop.Withdraw(*ids, why); });
    }
  }

  StatsSnapshot stats() const override {
    StatsSnapshot total;
    for (const auto& router : routers_) {
      for (const auto& method : router->methods()) total.methods.emplace_back().path = method->path;
      total.methods.emplace_back();  // unknown methods
    }
    for (const auto& loop : loops_) {
      if (loop->stats().methods.size() == total.methods.size()) loop->stats().AddTo(total);
    }
    for (size_t room = 0; room < kRooms; ++room) {
      total.connections_by_room[room] = edge_.connections[room].load(std::memory_order_relaxed);
      total.connections_open += total.connections_by_room[room];
    }
    if (started_) {
      total.connections_public_max = edge_.plan.public_max;
      total.connections_privileged_max = edge_.plan.privileged_max;
    }
    total.handshakes_open = edge_.handshakes.load(std::memory_order_relaxed);
    total.buffered_bytes = edge_.buffered_bytes.used();
    return total;
  }

 private:
  // Listeners with one router share its counters.
  size_t MethodsOffset(const std::shared_ptr<const Router>& router) {
    size_t offset = 0;
    for (const auto& known : routers_) {
      if (known == router) return offset;
      offset += known->methods().size() + 1;
    }
    routers_.push_back(router);
    return offset;
  }
  size_t MethodSlots() const {
    size_t slots = 0;
    for (const auto& router : routers_) slots += router->methods().size() + 1;
    return slots;
  }

  Edge edge_;
  std::vector<std::shared_ptr<const Router>> routers_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;  // loop by loop, listener by listener
  std::atomic<size_t> loops_accepting_{0};
  std::atomic<bool> started_ = false;  // its loops take tasks
  bool stopped_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Create(ServerOptions options) {
  MESHCA_CHECK(options.clock != nullptr);
  MESHCA_CHECK(SurvivesBrokenPipes());  // OpenSSL writes to sockets without MSG_NOSIGNAL: see process_limits.h.
  auto server = std::make_unique<EdgeServer>(options);
  MESHCA_RETURN_IF_ERROR(server->MakeLoops(options.loops));
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace meshca::rpc
