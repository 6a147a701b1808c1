// A service in a mesh, in C++: identity by the Workload API (workload_api.h), mTLS by OpenSSL (mtls.h). README.md in
// the folder above has the contract.
//
//   SPIFFE_ENDPOINT_SOCKET=unix:///run/meshca/api.sock mesh_cpp_service SPIFFE_ID...
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "test/interop/mesh/cpp/mtls.h"
#include "test/interop/mesh/cpp/workload_api.h"

namespace {

constexpr std::chrono::milliseconds kPause(100);  // between two calls
constexpr int kJwtEvery = 10;                     // rounds over all peers
constexpr size_t kErrorsMax = 5;

void Note(std::vector<std::string>& texts, const std::string& text) {
  if (texts.size() < kErrorsMax) texts.push_back(text);
}

void Remember(std::vector<std::string>& seen, const std::string& value) {
  if (std::find(seen.begin(), seen.end(), value) == seen.end()) seen.push_back(value);
}

void Expect(const std::string& told, const std::string& expected) {
  if (told != expected) throw std::runtime_error("answered \"" + told + "\"");
}

class Service {
 public:
  Service(const std::string& endpoint, std::set<std::string> let_in)
      : let_in_(std::move(let_in)), api_(endpoint, [this](const X509Svid& svid) { TakeUpdate(svid); }) {}

  const std::string& spiffe_id() const { return spiffe_id_; }

  // Serves on a port that the kernel chooses, until the process ends; returns the address.
  std::string Listen() {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* plain = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener, plain, size) != 0 || listen(listener, 128) != 0 || getsockname(listener, plain, &size) != 0) {
      throw std::runtime_error("cannot listen on 127.0.0.1");
    }
    std::thread([this, listener] {
      while (true) {
        const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd >= 0) std::thread([this, fd] { Serve(fd); }).detach();
      }
    }).detach();
    return "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }

  void AddPeer(const std::string& spiffe_id, const std::string& address) {
    std::lock_guard lock(mutex_);
    peers_[spiffe_id].address = address;
  }

  // Calls one peer after the other, until Stop().
  void CallPeers() {
    for (int round = 0;; ++round) {
      std::map<std::string, Peer> peers;
      {
        std::lock_guard lock(mutex_);
        peers = peers_;
      }
      for (const auto& [id, peer] : peers) {
        const bool by_jwt = round % kJwtEvery == 0;
        std::optional<std::string> error;
        try {
          if (by_jwt) {
            Expect(Call(id, peer.address, "jwt " + api_.FetchJwt(id)), spiffe_id_);
          } else {
            Expect(Call(id, peer.address, "hello"), id);
          }
        } catch (const std::exception& e) {
          error = e.what();
        }
        Count(id, by_jwt, error);
        if (PauseOrStop()) return;
      }
      if (peers.empty() && PauseOrStop()) return;
    }
  }

  void Stop() {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    stop_.notify_all();
  }

  nlohmann::json Report() {
    std::lock_guard lock(mutex_);
    auto peers = nlohmann::json::object();
    for (const auto& [id, peer] : peers_) {
      peers[id] = {{"ok", peer.ok},
                   {"failed", peer.failed},
                   {"jwt_ok", peer.jwt_ok},
                   {"jwt_failed", peer.jwt_failed},
                   {"errors", peer.errors}};
    }
    return {{"peers", peers}, {"refused", refused_}, {"refusals", refusals_}, {"serials", serials_}, {"roots", roots_}};
  }

 private:
  struct Peer {
    std::string address;
    int ok = 0;
    int failed = 0;
    int jwt_ok = 0;
    int jwt_failed = 0;
    std::vector<std::string> errors;
  };

  // A renewed key or another root: connections from now on use it.
  void TakeUpdate(const X509Svid& svid) {
    auto context = std::make_shared<const MtlsContext>(svid.chain_der, svid.key_der, svid.roots_der);
    std::lock_guard lock(mutex_);
    if (spiffe_id_.empty()) spiffe_id_ = svid.spiffe_id;
    Remember(serials_, context->serial());
    for (const std::string& root : context->roots()) Remember(roots_, root);
    context_ = std::move(context);
  }

  std::shared_ptr<const MtlsContext> context() {
    std::lock_guard lock(mutex_);
    return context_;
  }

  void Serve(int fd) {
    try {
      auto connection = MtlsConnection::Accept(fd, *context(), let_in_);
      connection.WriteLine(Answer(connection.ReadLine()));
      connection.Close();
    } catch (const std::exception& e) {
      std::lock_guard lock(mutex_);
      ++refused_;
      Note(refusals_, e.what());
    }
  }

  std::string Answer(const std::string& request) {
    if (request.rfind("jwt ", 0) != 0) return spiffe_id_;
    try {
      return api_.ValidateJwt(request.substr(4), spiffe_id_);
    } catch (const std::exception& e) {
      return std::string("error ") + e.what();
    }
  }

  // One request by a new connection; throws unless the server's certificate has the SPIFFE ID.
  std::string Call(const std::string& spiffe_id, const std::string& address, const std::string& request) {
    auto connection = MtlsConnection::Connect(address, *context(), spiffe_id);
    connection.WriteLine(request);
    std::string answer = connection.ReadLine();
    connection.Close();
    return answer;
  }

  void Count(const std::string& spiffe_id, bool by_jwt, const std::optional<std::string>& error) {
    std::lock_guard lock(mutex_);
    Peer& peer = peers_[spiffe_id];
    ++(by_jwt ? (error ? peer.jwt_failed : peer.jwt_ok) : (error ? peer.failed : peer.ok));
    if (error) Note(peer.errors, (by_jwt ? "jwt: " : "") + *error);
  }

  bool PauseOrStop() {
    std::unique_lock lock(mutex_);
    return stop_.wait_for(lock, kPause, [this] { return stopping_; });
  }

  const std::set<std::string> let_in_;

  std::mutex mutex_;  // guards what is below, but spiffe_id_ once the constructor has returned
  std::condition_variable stop_;
  bool stopping_ = false;
  std::string spiffe_id_;
  std::shared_ptr<const MtlsContext> context_;  // the newest
  std::map<std::string, Peer> peers_;
  int refused_ = 0;
  std::vector<std::string> refusals_;
  std::vector<std::string> serials_;
  std::vector<std::string> roots_;

  WorkloadApi api_;  // last: its constructor calls TakeUpdate()
};

void Run(const std::set<std::string>& let_in) {
  const char* endpoint = std::getenv("SPIFFE_ENDPOINT_SOCKET");
  if (endpoint == nullptr) throw std::runtime_error("SPIFFE_ENDPOINT_SOCKET is not set");
  static Service service(endpoint, let_in);  // static: its threads serve until the process ends
  const std::string address = service.Listen();
  std::cout << nlohmann::json{{"spiffe_id", service.spiffe_id()}, {"address", address}} << std::endl;
  std::thread calls([] { service.CallPeers(); });

  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string word;
    std::string spiffe_id;
    std::string peer_address;
    words >> word >> spiffe_id >> peer_address;
    if (word == "peer") {
      service.AddPeer(spiffe_id, peer_address);
    } else if (word == "report") {
      std::cout << service.Report() << std::endl;
    }
  }
  service.Stop();
  calls.join();
  std::cout << service.Report() << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a peer that is gone is an error of one connection
  try {
    Run({argv + 1, argv + argc});
  } catch (const std::exception& e) {
    std::cerr << e.what() << std::endl;
    return 1;
  }
  // The listening threads still use the service: nothing is destroyed under them.
  std::cout.flush();
  std::_Exit(0);
}
