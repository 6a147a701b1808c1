// A server that does what a test says, byte by byte.
#ifndef MESHCA_TEST_CA_HTTP_SCRIPTED_SERVER_H_
#define MESHCA_TEST_CA_HTTP_SCRIPTED_SERVER_H_

#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/base/mutex.h"
#include "ca/base/tcp_listen.h"
#include "ca/base/unique_fd.h"
#include "ca/http/url.h"

namespace meshca::http {

// One accepted connection, for the script that serves it.
class ScriptedPeer {
 public:
  explicit ScriptedPeer(UniqueFd fd) : fd_(std::move(fd)) {}

  // The next request, up to the end of its head; "" when the client has ended the connection.
  std::string ReadHead() {
    while (!absl::StrContains(received_, "\r\n\r\n")) {
      char bytes[4096];
      const ssize_t count = ::recv(fd_.get(), bytes, sizeof bytes, 0);
      if (count <= 0) return "";
      received_.append(bytes, static_cast<size_t>(count));
    }
    const size_t end = received_.find("\r\n\r\n") + 4;
    std::string head = received_.substr(0, end);
    received_.erase(0, end);
    return head;
  }
  // The next bytes: a request's body; shorter when the client has ended the connection.
  std::string ReadBody(size_t size) {
    while (received_.size() < size) {
      char bytes[4096];
      const ssize_t count = ::recv(fd_.get(), bytes, sizeof bytes, 0);
      if (count <= 0) break;
      received_.append(bytes, static_cast<size_t>(count));
    }
    std::string body = received_.substr(0, size);
    received_.erase(0, body.size());
    return body;
  }
  // Ends the connection, whatever the client was promised.
  void Break() { ::shutdown(fd_.get(), SHUT_RDWR); }
  void Send(const std::string& bytes) { (void)!::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  // Waits until the client has ended the connection.
  void AwaitEnd() {
    char byte;
    while (::recv(fd_.get(), &byte, 1, 0) > 0) {
    }
  }
  int fd() const { return fd_.get(); }

 private:
  const UniqueFd fd_;
  std::string received_;
};

// Serves each connection on a thread of its own by `script`, which is given the connection and its number, from 0.
class ScriptedServer {
 public:
  using Script = std::function<void(ScriptedPeer& peer, int number)>;

  explicit ScriptedServer(Script script)
      : listener_(BindTcp("127.0.0.1:0").value()), script_(std::move(script)), thread_([this] { Accept(); }) {}
  ~ScriptedServer() {
    ending_ = true;
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    {
      MutexLock lock(mutex_);
      for (const auto& peer : peers_) ::shutdown(peer->fd(), SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
  }

  Url url(const std::string& target = "/") const {
    return Url::Parse(absl::StrCat("http://", BoundAddress(listener_.get()), target)).value();
  }
  int connections() const { return connections_; }

 private:
  void Accept() {
    while (!ending_) {
      pollfd ready = {listener_.get(), POLLIN, 0};
      ::poll(&ready, 1, -1);
      UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd.valid()) continue;
      auto peer = std::make_shared<ScriptedPeer>(std::move(fd));
      const int number = connections_++;
      {
        MutexLock lock(mutex_);
        peers_.push_back(peer);
      }
      threads_.emplace_back([this, peer, number] {
        script_(*peer, number);
        ::shutdown(peer->fd(), SHUT_RDWR);
      });
    }
  }

  const UniqueFd listener_;
  const Script script_;
  std::atomic<bool> ending_ = false;
  std::atomic<int> connections_ = 0;
  Mutex mutex_;
  std::vector<std::shared_ptr<ScriptedPeer>> peers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;  // the accepting thread's, then the destructor's
  std::thread thread_;
};

}  // namespace meshca::http

#endif  // MESHCA_TEST_CA_HTTP_SCRIPTED_SERVER_H_
