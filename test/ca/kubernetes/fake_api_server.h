// An API server that answers as a test says, byte by byte.
#ifndef MESHCA_TEST_CA_KUBERNETES_FAKE_API_SERVER_H_
#define MESHCA_TEST_CA_KUBERNETES_FAKE_API_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/kubernetes/api_server.h"
#include "test/ca/http/patience.h"
#include "test/ca/http/scripted_server.h"

namespace meshca::kubernetes {

inline std::string HttpAnswer(int status, const std::string& body, const std::string& more_headers = "") {
  return absl::StrCat("HTTP/1.1 ", status, " X\r\nContent-Length: ", body.size(), "\r\n", more_headers, "\r\n", body);
}

// One piece of an answer that does not end, and the end of one.
inline std::string Chunk(const std::string& bytes) {
  return absl::StrCat(absl::Hex(bytes.size()), "\r\n", bytes, "\r\n");
}
inline const char* const kChunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
inline const char* const kLastChunk = "0\r\n\r\n";

// No request is made but the test's own: whoever wants probes says how often.
inline OutageTerms WithoutProbes() {
  OutageTerms terms;
  terms.probe_every = absl::InfiniteDuration();
  return terms;
}

inline std::unique_ptr<ApiServer> ConnectTo(const http::ScriptedServer& server, const std::string& token = "",
                                            const OutageTerms& outage = WithoutProbes()) {
  ApiServerOptions options;
  options.url = server.url("/prefix/");
  options.described = "a test's configuration";
  options.outage = outage;
  options.connect_timeout = 2 * http::kPatience;
  if (!token.empty()) options.token.bytes = std::make_shared<const SecretBytes>(SecretBytes::CopyOf(token));
  return ApiServer::Create(std::move(options)).value();
}

// Blocks; waits as long as it takes.
inline absl::StatusOr<std::string> Ask(ApiServer& server, const ApiCall& call) {
  return server.Call(call, 64 * 1024, 2 * http::kPatience);
}

inline ApiCall ListOfPods() {
  ApiCall call;
  call.verb = "list";
  call.resource = Pods();
  return call;
}

// Answers the first request by the first step, and so on, on whatever connection it comes; what comes later stays
// without an answer. Thread-safe.
class FakeApiServer {
 public:
  using Step = std::function<void(http::ScriptedPeer& peer)>;
  struct Asked {
    std::string line;   // "/prefix/api/v1/pods?limit=500"
    absl::Duration at;  // since boot
  };

  explicit FakeApiServer(std::vector<Step> steps)
      : steps_(std::move(steps)), server_([this](http::ScriptedPeer& peer, int) { Serve(peer); }) {}

  const http::ScriptedServer& server() const { return server_; }

  // The first `count` requests; fewer when they did not come in time.
  std::vector<Asked> Await(size_t count) {
    MutexLock lock(mutex_);
    while (asked_.size() < count && changed_.WaitFor(mutex_, http::kPatience)) {
    }
    return {asked_.begin(), asked_.begin() + static_cast<ptrdiff_t>(std::min(count, asked_.size()))};
  }
  size_t asked() {
    MutexLock lock(mutex_);
    return asked_.size();
  }

 private:
  void Serve(http::ScriptedPeer& peer) {
    for (std::string head = peer.ReadHead(); !head.empty(); head = peer.ReadHead()) {
      const size_t begin = head.find(' ') + 1;
      size_t number = 0;
      {
        MutexLock lock(mutex_);
        number = asked_.size();
        asked_.push_back({head.substr(begin, head.find(' ', begin) - begin), SystemClock().SinceBoot()});
        changed_.NotifyAll();
      }
      if (number >= steps_.size()) return peer.AwaitEnd();
      steps_[number](peer);
    }
  }

  const std::vector<Step> steps_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<Asked> asked_ ABSL_GUARDED_BY(mutex_);
  http::ScriptedServer server_;  // the last: its threads use the rest
};

// Answers every request by 200 and keeps what it was sent. One call at a time.
class RecordingApiServer {
 public:
  struct Seen {
    std::string head;
    std::string body;
  };
  RecordingApiServer() : server_([this](http::ScriptedPeer& peer, int) { Serve(peer); }) {}
  const http::ScriptedServer& server() const { return server_; }
  // After a call, which ends after its request was kept.
  Seen last() {
    MutexLock lock(mutex_);
    return seen_;
  }

 private:
  void Serve(http::ScriptedPeer& peer) {
    for (std::string head = peer.ReadHead(); !head.empty(); head = peer.ReadHead()) {
      const size_t length = head.find("Content-Length: ");
      const std::string body = length == std::string::npos ? "" : peer.ReadBody(std::stoul(head.substr(length + 16)));
      {
        MutexLock lock(mutex_);
        seen_ = {head, body};
      }
      peer.Send(HttpAnswer(200, "{}"));
    }
  }

  Mutex mutex_;
  Seen seen_ ABSL_GUARDED_BY(mutex_);
  http::ScriptedServer server_;  // the last: its threads use the rest
};

// Steps.
inline FakeApiServer::Step Answer(const std::string& bytes) {
  return [bytes](http::ScriptedPeer& peer) { peer.Send(bytes); };
}
// Part of an answer, and then nothing any more.
inline FakeApiServer::Step BreakAfter(const std::string& bytes) {
  return [bytes](http::ScriptedPeer& peer) {
    peer.Send(bytes);
    peer.Break();
  };
}
inline FakeApiServer::Step HangAfter(const std::string& bytes) {
  return [bytes](http::ScriptedPeer& peer) {
    peer.Send(bytes);
    peer.AwaitEnd();
  };
}

inline std::string PodNamed(const std::string& name, const std::string& version = "1") {
  return absl::StrCat(R"({"metadata":{"name":")", name, R"(","resourceVersion":")", version, R"("}})");
}
inline std::string PageOf(const std::vector<std::string>& names, const std::string& version,
                          const std::string& next = "") {
  std::vector<std::string> pods;
  for (const std::string& name : names) pods.push_back(PodNamed(name));
  return absl::StrCat(R"({"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":")", version,
                      R"(","continue":")", next, R"("},"items":[)", absl::StrJoin(pods, ","), "]}");
}
inline std::string EventOf(const std::string& type, const std::string& object) {
  return absl::StrCat(R"({"type":")", type, R"(","object":)", object, "}\n");
}
inline std::string StatusOf(int code, const std::string& reason, const std::string& message,
                            const std::string& cause = "") {
  return absl::StrCat(R"({"kind":"Status","apiVersion":"v1","status":"Failure","message":")", message,
                      R"(","reason":")", reason, R"(","details":{"causes":[{"reason":")", cause, R"("}]},"code":)",
                      code, "}");
}

}  // namespace meshca::kubernetes

#endif  // MESHCA_TEST_CA_KUBERNETES_FAKE_API_SERVER_H_
