#include "ca/http/http_server.h"

#include <algorithm>
#include <list>
#include <utility>

#include "ca/base/check.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"
#include "ca/base/tcp_listen.h"
#include "ca/http/event_loop.h"
#include "ca/http/server_connection.h"
#include "ca/http/tls_settings.h"
#include "ca/http/wire.h"

namespace meshca::http {
namespace {

constexpr size_t kServerReceiveBytes = 4096;

}  // namespace

class Server::Impl final : private ConnectionHost {
 public:
  Impl(UniqueFd listener, Handler& handler, ServerOptions options, std::unique_ptr<ServerTls> tls,
       std::shared_ptr<EventLoop> loop)
      : handler_(handler),
        options_(std::move(options)),
        tls_(std::move(tls)),
        loop_(std::move(loop)),
        address_(BoundAddress(listener.get())),
        acceptor_(*loop_, std::move(listener), kServerReceiveBytes) {
    loop_->Post([this] {
      acceptor_.Begin(
          [this](std::unique_ptr<Wire> wire, std::string peer) { Accept(std::move(wire), std::move(peer)); });
    });
  }
  ~Impl() { Stop(absl::ZeroDuration()); }

  const std::string& address() const { return address_; }
  void Stop(absl::Duration grace);

 private:
  using ConnectionPtr = std::shared_ptr<ServerConnection>;

  // The loop's thread.
  const ServerOptions& options() const override { return options_; }
  const ServerTls* tls() const override { return tls_.get(); }
  Handler& handler() override { return handler_; }
  const std::shared_ptr<EventLoop>& loop() override { return loop_; }
  bool is_draining() const override { return draining_; }
  void OnIdle(ServerConnection& connection) override;
  void OnEnd(ServerConnection& connection) override;
  void Accept(std::unique_ptr<Wire> wire, std::string peer);
  const ConnectionPtr& WhoMakesRoom() const;
  void BeginDrain();
  void EndAll();

  std::list<ConnectionPtr>::iterator Find(const ServerConnection& connection) {
    return std::find_if(connections_.begin(), connections_.end(),
                        [&](const ConnectionPtr& one) { return one.get() == &connection; });
  }

  Handler& handler_;
  const ServerOptions options_;
  const std::unique_ptr<ServerTls> tls_;
  const std::shared_ptr<EventLoop> loop_;
  const std::string address_;
  Acceptor acceptor_;                     // loop thread
  std::list<ConnectionPtr> connections_;  // loop thread; the one that became idle or came last is the last
  bool draining_ = false;                 // loop thread

  Mutex mutex_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool drained_ ABSL_GUARDED_BY(mutex_) = false;
};

void Server::Impl::Accept(std::unique_ptr<Wire> wire, std::string peer) {
  if (connections_.size() >= options_.connections_max) ConnectionPtr(WhoMakesRoom())->CutOff();
  auto connection =
      std::make_shared<ServerConnection>(static_cast<ConnectionHost&>(*this), std::move(wire), std::move(peer));
  connections_.push_back(connection);
  connection->Begin();
}

// The one that has been idle longest, so that a probe whose answer is being made goes on; but those with an answer keep
// half of the places between them at most. Else whoever asks for slow pages on all of them would leave newcomers one
// place, and each would end the one before it.
auto Server::Impl::WhoMakesRoom() const -> const ConnectionPtr& {
  const auto is_idle = [](const ConnectionPtr& one) { return one->is_idle(); };
  const auto idle = static_cast<size_t>(std::count_if(connections_.begin(), connections_.end(), is_idle));
  const bool answers_crowd = connections_.size() - idle > options_.connections_max / 2;
  return *std::find_if(connections_.begin(), connections_.end(),
                       [&](const ConnectionPtr& one) { return one->is_idle() != answers_crowd; });
}

void Server::Impl::OnIdle(ServerConnection& connection) {
  connections_.splice(connections_.end(), connections_, Find(connection));
}

void Server::Impl::OnEnd(ServerConnection& connection) {
  connections_.erase(Find(connection));
  if (!draining_ || !connections_.empty()) return;
  MutexLock lock(mutex_);
  drained_ = true;
  changed_.NotifyAll();
}

void Server::Impl::BeginDrain() {
  acceptor_.Close();
  draining_ = true;
  for (const ConnectionPtr& connection : std::list<ConnectionPtr>(connections_)) connection->Drain();
  if (!connections_.empty()) return;
  MutexLock lock(mutex_);
  drained_ = true;
  changed_.NotifyAll();
}

void Server::Impl::EndAll() {
  while (!connections_.empty()) ConnectionPtr(connections_.front())->CutOff();
}

void Server::Impl::Stop(absl::Duration grace) {
  MESHCA_CHECK(!loop_->IsLoopThread());
  {
    MutexLock lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
    loop_->Post([this] { BeginDrain(); });
    if (grace > absl::ZeroDuration()) {
      const absl::Duration until = SystemClock().SinceBoot() + grace;
      while (!drained_ && SystemClock().SinceBoot() < until) {
        changed_.WaitFor(mutex_, until - SystemClock().SinceBoot());
      }
    }
  }
  loop_->Post([this] { EndAll(); });
  loop_->Join();
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;
const std::string& Server::address() const { return impl_->address(); }
void Server::Stop(absl::Duration grace) { impl_->Stop(grace); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const std::string& address, Handler& handler,
                                                      ServerOptions options) {
  std::unique_ptr<ServerTls> tls;
  if (options.identity) {
    MESHCA_ASSIGN_OR_RETURN(tls, ServerTls::Create(options.identity));
  }
  MESHCA_ASSIGN_OR_RETURN(UniqueFd listener, BindTcp(address));
  MESHCA_ASSIGN_OR_RETURN(std::shared_ptr<EventLoop> loop, EventLoop::Start());
  return std::unique_ptr<Server>(new Server(
      std::make_unique<Impl>(std::move(listener), handler, std::move(options), std::move(tls), std::move(loop))));
}

}  // namespace meshca::http
