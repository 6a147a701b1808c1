#include "ca/rpc/server.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <thread>
#include <utility>
#include <vector>

#include "ca/base/check.h"
#include "ca/base/cpu_count.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/rpc/connection.h"
#include "ca/rpc/edge.h"
#include "ca/rpc/http2_callbacks.h"
#include "ca/rpc/listener.h"
#include "ca/rpc/loop.h"

namespace meshca::rpc {
namespace {

constexpr int kLoopsMax = 16;
// Descriptors the edge leaves to the rest of the process: files, database, HTTP.
constexpr rlim_t kDescriptorsLeft = 256;

// Raises the soft limit to the hard one and says how many connections fit.
uint32_t ConnectionsThatFit(uint32_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur == RLIM_INFINITY) return wanted;
  const rlim_t fit = std::max<rlim_t>(limit.rlim_cur, 2 * kDescriptorsLeft) - kDescriptorsLeft;
  return static_cast<uint32_t>(std::min<rlim_t>(wanted, fit));
}

class EdgeServer final : public Server {
 public:
  explicit EdgeServer(const ServerOptions& options) {
    edge_.global = options.global;
    edge_.source = options.source;
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
    started_ = true;
    edge_.global.connections_max = ConnectionsThatFit(edge_.global.connections_max);
    for (auto& loop : loops_) {
      loop->stats().methods = std::vector<MethodCounters>(MethodSlots());
      for (auto& listener : listeners_) {
        acceptors_.push_back(std::make_unique<Acceptor>(*loop, *listener, loops_));
        acceptors_.back()->Start();
      }
    }
    for (auto& loop : loops_) loop->Start();
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

  StatsSnapshot stats() const override {
    StatsSnapshot total;
    for (const auto& router : routers_) {
      for (const auto& method : router->methods()) total.methods.emplace_back().path = method->path;
      total.methods.emplace_back();  // unknown methods
    }
    for (const auto& loop : loops_) {
      if (loop->stats().methods.size() == total.methods.size()) loop->stats().AddTo(total);
    }
    total.connections_open = edge_.connections.load(std::memory_order_relaxed);
    total.handshakes_open = edge_.handshakes.load(std::memory_order_relaxed);
    total.buffered_bytes = edge_.buffered_bytes.load(std::memory_order_relaxed);
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
  bool started_ = false;
  bool stopped_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Create(ServerOptions options) {
  MESHCA_CHECK(options.clock != nullptr);
  // OpenSSL writes to sockets without MSG_NOSIGNAL.
  std::signal(SIGPIPE, SIG_IGN);
  auto server = std::make_unique<EdgeServer>(options);
  MESHCA_RETURN_IF_ERROR(server->MakeLoops(options.loops));
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace meshca::rpc
