// A Kubernetes API server of CertificateSigningRequests alone.
#ifndef MESHCA_TEST_CA_SIGNING_REQUESTS_SIGNING_CLUSTER_H_
#define MESHCA_TEST_CA_SIGNING_REQUESTS_SIGNING_CLUSTER_H_

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "ca/base/mutex.h"
#include "ca/signing_requests/signing_request.h"
#include "test/ca/http/scripted_server.h"
#include "test/ca/kubernetes/fake_api_server.h"

namespace meshca {

class SigningCluster {
 public:
  struct Write {
    std::string part;  // "approval", "status"
    std::string body;
  };

  SigningCluster() : server_(std::make_unique<http::ScriptedServer>([this](auto& peer, int) { Serve(peer); })) {}
  ~SigningCluster() {
    {
      MutexLock lock(mutex_);
      ending_ = true;
      changed_.NotifyAll();
    }
    server_.reset();
  }

  std::unique_ptr<kubernetes::ApiServer> Connect(const kubernetes::OutageTerms& outage = kubernetes::WithoutProbes()) {
    return kubernetes::ConnectTo(*server_, "", outage);
  }
  // Every request from now on ends without an answer, and so do the watches.
  void GoAway(bool away) {
    MutexLock lock(mutex_);
    away_ = away;
    changed_.NotifyAll();
  }

  // The request is there, with its conditions as it says.
  void Put(const SigningRequest& request) {
    MutexLock lock(mutex_);
    PutLocked({request, false});
  }
  // Every answer shows a request with an annotation of that many bytes.
  void Annotate(size_t bytes) {
    MutexLock lock(mutex_);
    annotation_ = std::string(bytes, 'x');
  }
  // The next writes are answered by these and change nothing; those after them as they should be.
  void AnswerWrites(std::vector<std::string> answers) {
    MutexLock lock(mutex_);
    answers_.assign(answers.begin(), answers.end());
  }
  // The writes, once there are `count` of them, or after a minute.
  std::vector<Write> AwaitWrites(size_t count) {
    MutexLock lock(mutex_);
    const absl::Time end = absl::Now() + absl::Minutes(1);
    while (writes_.size() < count && absl::Now() < end) changed_.WaitFor(mutex_, absl::Seconds(1));
    return writes_;
  }

 private:
  struct Kept {
    SigningRequest request;
    bool has_certificate = false;
  };

  std::string Json(const Kept& kept) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const SigningRequest& request = kept.request;
    return absl::StrCat(
        R"({"metadata":{"name":")", request.name, R"(","uid":")", request.uid, R"(","annotations":{"a.test/b":")",
        annotation_, R"("},"resourceVersion":")", request.resource_version, R"("},"spec":{"signerName":")",
        request.signer_name, R"(","request":")", absl::Base64Escape(request.pkcs10), R"(","usages":[")",
        absl::StrJoin(request.usages, "\",\""), R"("],"username":")", request.username, R"(","uid":")",
        request.user_uid, R"(","extra":{"authentication.kubernetes.io/pod-uid":[")", request.pod_uid,
        R"("]}},"status":{)", kept.has_certificate ? R"("certificate":"eA==",)" : "", R"("conditions":[)",
        request.is_approved ? R"({"type":"Approved"})" : "", request.is_approved && request.is_answered ? "," : "",
        request.is_answered ? R"({"type":"Denied"})" : "", "]}}");
  }

  void PutLocked(Kept kept) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    kept.request.resource_version = absl::StrCat(log_.size() + 1);
    objects_[kept.request.name] = kept;
    log_.push_back(std::move(kept));
    changed_.NotifyAll();
  }

  void Serve(http::ScriptedPeer& peer) {
    for (std::string head = peer.ReadHead(); !head.empty(); head = peer.ReadHead()) {
      const std::string target = std::vector<std::string>(absl::StrSplit(head, ' '))[1];
      const std::string path = target.substr(0, target.find('?'));
      if (away_) return;
      if (absl::StartsWith(head, "PATCH ")) {
        WriteTo(peer, path, peer.BodyOf(head));
      } else if (absl::StrContains(target, "watch=")) {
        return Watch(peer, target);
      } else {
        Read(peer, path);
      }
    }
  }
  void Read(http::ScriptedPeer& peer, const std::string& path) {
    MutexLock lock(mutex_);
    if (const auto found = objects_.find(path.substr(path.rfind('/') + 1)); found != objects_.end()) {
      return peer.Send(kubernetes::HttpAnswer(200, Json(found->second)));
    }
    std::vector<std::string> items;
    for (const auto& [name, kept] : objects_) items.push_back(Json(kept));
    peer.Send(kubernetes::HttpAnswer(200, absl::StrCat(R"({"kind":"List","metadata":{"resourceVersion":")", log_.size(),
                                                       R"("},"items":[)", absl::StrJoin(items, ","), "]}")));
  }
  void Watch(http::ScriptedPeer& peer, const std::string& target) {
    const std::string from = "resourceVersion=";
    size_t sent = 0;
    (void)absl::SimpleAtoi(
        std::vector<std::string>(absl::StrSplit(target.substr(target.find(from) + from.size()), '&'))[0], &sent);
    peer.Send(kubernetes::kChunkedHead);
    MutexLock lock(mutex_);
    while (!ending_ && !away_) {
      for (; sent < log_.size(); ++sent) {
        peer.Send(kubernetes::Chunk(kubernetes::EventOf("MODIFIED", Json(log_[sent]))));
      }
      changed_.Wait(mutex_);
    }
  }
  void WriteTo(http::ScriptedPeer& peer, const std::string& path, const std::string& body) {
    const std::vector<std::string> parts = absl::StrSplit(path, '/');
    MutexLock lock(mutex_);
    writes_.push_back({parts.back(), body});
    changed_.NotifyAll();
    if (!answers_.empty()) {
      peer.Send(answers_.front());
      return answers_.pop_front();
    }
    Kept kept = objects_[parts[parts.size() - 2]];
    if (absl::StrContains(body, "\"Approved\"")) kept.request.is_approved = true;
    if (absl::StrContains(body, "\"Denied\"") || absl::StrContains(body, "\"Failed\"")) kept.request.is_answered = true;
    if (absl::StrContains(body, "/status/certificate")) kept.has_certificate = true;
    PutLocked(kept);
    peer.Send(kubernetes::HttpAnswer(200, Json(kept)));
  }

  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, Kept> objects_ ABSL_GUARDED_BY(mutex_);  // by name
  std::vector<Kept> log_ ABSL_GUARDED_BY(mutex_);                // the resource version is its length
  std::deque<std::string> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<Write> writes_ ABSL_GUARDED_BY(mutex_);
  std::string annotation_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::atomic<bool> away_ = false;
  std::unique_ptr<http::ScriptedServer> server_;
};

}  // namespace meshca

#endif  // MESHCA_TEST_CA_SIGNING_REQUESTS_SIGNING_CLUSTER_H_
