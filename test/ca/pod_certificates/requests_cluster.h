// A Kubernetes API server of PodCertificateRequests and the admission policy alone.
#ifndef MESHCA_TEST_CA_POD_CERTIFICATES_REQUESTS_CLUSTER_H_
#define MESHCA_TEST_CA_POD_CERTIFICATES_REQUESTS_CLUSTER_H_

#include <deque>
#include <functional>
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
#include "ca/base/utc_text.h"
#include "ca/kubernetes/picked_fields.h"
#include "ca/pod_certificates/pod_request.h"
#include "test/ca/http/scripted_server.h"
#include "test/ca/kubernetes/fake_api_server.h"

namespace meshca {

class RequestsCluster {
 public:
  RequestsCluster() : server_(std::make_unique<http::ScriptedServer>([this](auto& peer, int) { Serve(peer); })) {}
  ~RequestsCluster() {
    {
      MutexLock lock(mutex_);
      ending_ = true;
      changed_.NotifyAll();
    }
    server_.reset();
  }

  std::unique_ptr<kubernetes::ApiServer> Connect() { return kubernetes::ConnectTo(*server_); }

  // The request is there, answered by a condition of that type where one is named.
  void Put(const PodRequest& request, const std::string& condition = "") {
    MutexLock lock(mutex_);
    PutLocked(request, condition);
  }
  void ServeVersions(std::vector<std::string> versions) {
    MutexLock lock(mutex_);
    versions_ = std::move(versions);
  }
  // Somebody writes the binding, and writes it back.
  void WritePolicyTwice() {
    MutexLock lock(mutex_);
    generation_ += 2;
  }
  void HavePolicy(bool there) {
    MutexLock lock(mutex_);
    policy_ = there;
  }
  // The next writes are answered by these and change nothing; those after them as they should be. `before` runs first.
  void AnswerWrites(std::vector<std::string> answers, std::function<void()> before = nullptr) {
    MutexLock lock(mutex_);
    answers_.assign(answers.begin(), answers.end());
    before_answer_ = std::move(before);
  }
  // The next reads of one request are answered by these.
  void AnswerGets(std::vector<std::string> answers) {
    MutexLock lock(mutex_);
    gets_.assign(answers.begin(), answers.end());
  }
  // Each time that one request is asked for, the watch tells of it first.
  void TellBeforeGets() {
    MutexLock lock(mutex_);
    tells_before_gets_ = true;
  }
  // The bodies of the writes, once there are `count` of them, or after a minute.
  std::vector<std::string> AwaitWrites(size_t count) {
    MutexLock lock(mutex_);
    const absl::Time end = absl::Now() + absl::Minutes(1);
    while (writes_.size() < count && absl::Now() < end) changed_.WaitFor(mutex_, absl::Seconds(1));
    return writes_;
  }
  size_t writes() {
    MutexLock lock(mutex_);
    return writes_.size();
  }
  // The paths that were asked for, without queries.
  std::vector<std::string> asked() {
    MutexLock lock(mutex_);
    return asked_;
  }

 private:
  struct Kept {
    PodRequest request;
    std::string condition;
  };

  // As `version` of the API shows it: v1 knows no older form.
  static std::string Json(const Kept& kept, absl::string_view version) {
    const PodRequest& request = kept.request;
    std::string key = absl::StrCat(R"("stubPKCS10Request":")", absl::Base64Escape(request.stub_pkcs10), R"(")");
    if (version == "v1beta1") {
      absl::StrAppend(&key, R"(,"pkixPublicKey":")", absl::Base64Escape(request.pkix_public_key),
                      R"(","proofOfPossession":")", absl::Base64Escape(request.proof_of_possession), R"(")");
    }
    return absl::StrCat(R"({"metadata":{"namespace":")", request.namespace_name, R"(","name":")", request.name,
                        R"(","uid":")", request.uid, R"(","resourceVersion":")", request.resource_version,
                        R"(","creationTimestamp":")", Rfc3339Text(request.created), R"("},"spec":{"signerName":")",
                        request.signer_name, R"(","podName":")", request.pod_name, R"(","podUID":")", request.pod_uid,
                        R"(","serviceAccountName":")", request.account, R"(","serviceAccountUID":")",
                        request.account_uid, R"(","nodeName":")", request.node, R"(","maxExpirationSeconds":)",
                        absl::ToInt64Seconds(request.max_expiration), ",", key, R"(},"status":{"conditions":[)",
                        kept.condition.empty() ? "" : absl::StrCat(R"({"type":")", kept.condition, R"("})"), "]}}");
  }

  void PutLocked(PodRequest request, const std::string& condition) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    request.resource_version = absl::StrCat(log_.size() + 1);
    const std::string name = request.name;
    objects_[name] = {std::move(request), condition};
    log_.push_back(objects_[name]);
    changed_.NotifyAll();
  }

  void Serve(http::ScriptedPeer& peer) {
    for (std::string head = peer.ReadHead(); !head.empty(); head = peer.ReadHead()) {
      const std::string target = std::vector<std::string>(absl::StrSplit(head, ' '))[1];
      const std::string path = target.substr(0, target.find('?'));
      const std::string version = absl::StrContains(target, "/v1beta1/") ? "v1beta1" : "v1";
      bool served = false;
      {
        MutexLock lock(mutex_);
        asked_.push_back(path);
        served = std::find(versions_.begin(), versions_.end(), version) != versions_.end();
      }
      if (absl::StrContains(path, "/validatingadmissionpolic")) {
        ServePolicy(peer, path);
      } else if (!served) {
        peer.Send(kubernetes::HttpAnswer(404, "404 page not found\n"));
      } else if (absl::StartsWith(head, "PUT ")) {
        Write(peer, peer.BodyOf(head));
      } else if (absl::StrContains(target, "watch=")) {
        return Watch(peer, version, target);
      } else if (absl::EndsWith(path, "/podcertificaterequests")) {
        List(peer, version);
      } else {
        Get(peer, version, path);
      }
    }
  }
  void ServePolicy(http::ScriptedPeer& peer, const std::string& path) {
    MutexLock lock(mutex_);
    if (!policy_) {
      return peer.Send(kubernetes::HttpAnswer(404, kubernetes::StatusOf(404, "NotFound", "there is none")));
    }
    const std::string metadata =
        absl::StrCat(R"({"metadata":{"creationTimestamp":"2026-09-21T14:00:00Z","generation":)", generation_, "}");
    const char* const spec =
        absl::StrContains(path, "bindings")
            ? R"(,"spec":{"policyName":"meshca-pod-certificate-requests","validationActions":["Deny"]}})"
            : R"(,"spec":{"failurePolicy":"Fail","matchConstraints":{"resourceRules":[{"apiGroups":["*"],"apiVersions":["*"],)"
              R"("operations":["CREATE"],"resources":["podcertificaterequests"]}]},)"
              R"("validations":[{"expression":"'system:nodes' in request.userInfo.groups &&)"
              R"( request.userInfo.username == 'system:node:' + object.spec.nodeName"}]}})";
    peer.Send(kubernetes::HttpAnswer(200, metadata + spec));
  }
  void List(http::ScriptedPeer& peer, const std::string& version) {
    MutexLock lock(mutex_);
    std::vector<std::string> items;
    for (const auto& [name, kept] : objects_) items.push_back(Json(kept, version));
    peer.Send(kubernetes::HttpAnswer(200, absl::StrCat(R"({"kind":"List","metadata":{"resourceVersion":")", log_.size(),
                                                       R"("},"items":[)", absl::StrJoin(items, ","), "]}")));
  }
  void Get(http::ScriptedPeer& peer, const std::string& version, const std::string& path) {
    MutexLock lock(mutex_);
    if (!gets_.empty()) {
      peer.Send(gets_.front());
      return gets_.pop_front();
    }
    const auto found = objects_.find(path.substr(path.rfind('/') + 1));
    if (found == objects_.end()) {
      return peer.Send(kubernetes::HttpAnswer(404, kubernetes::StatusOf(404, "NotFound", "there is none")));
    }
    if (tells_before_gets_) {
      PutLocked(found->second.request, found->second.condition);
      // Until the watch has sent it, and for as long as TCP may hold it back behind what was sent before.
      while (!ending_ && watched_ < log_.size()) changed_.Wait(mutex_);
      changed_.WaitFor(mutex_, absl::Milliseconds(200));
    }
    peer.Send(kubernetes::HttpAnswer(200, Json(found->second, version)));
  }
  void Watch(http::ScriptedPeer& peer, const std::string& version, const std::string& target) {
    const std::string kFrom = "resourceVersion=";
    size_t sent = 0;
    (void)absl::SimpleAtoi(
        std::vector<std::string>(absl::StrSplit(target.substr(target.find(kFrom) + kFrom.size()), '&'))[0], &sent);
    peer.Send(kubernetes::kChunkedHead);
    MutexLock lock(mutex_);
    while (!ending_) {
      for (; sent < log_.size(); ++sent) {
        peer.Send(kubernetes::Chunk(kubernetes::EventOf("MODIFIED", Json(log_[sent], version))));
      }
      if (std::exchange(watched_, sent) != sent) changed_.NotifyAll();
      changed_.Wait(mutex_);
    }
  }
  void Write(http::ScriptedPeer& peer, const std::string& body) {
    std::string answer;
    std::function<void()> before;
    {
      MutexLock lock(mutex_);
      if (!answers_.empty()) {
        answer = answers_.front();
        answers_.pop_front();
        before = before_answer_;
      }
    }
    if (before) before();
    MutexLock lock(mutex_);
    writes_.push_back(body);
    changed_.NotifyAll();
    if (!answer.empty()) return peer.Send(answer);
    const kubernetes::PickedFields fields =
        *kubernetes::PickFields(body, {"metadata.name", "status.conditions[].type"});
    const auto found = objects_.find(std::string(fields.Text(0)));
    if (found != objects_.end()) PutLocked(found->second.request, std::string(fields.Text(1)));
    peer.Send(kubernetes::HttpAnswer(200, "{}"));
  }

  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, Kept> objects_ ABSL_GUARDED_BY(mutex_);  // by name
  std::vector<Kept> log_ ABSL_GUARDED_BY(mutex_);                // the resource version is its length
  std::vector<std::string> versions_ ABSL_GUARDED_BY(mutex_) = {"v1", "v1beta1"};
  bool policy_ ABSL_GUARDED_BY(mutex_) = true;
  int generation_ ABSL_GUARDED_BY(mutex_) = 1;
  std::deque<std::string> gets_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> answers_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> before_answer_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> writes_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> asked_ ABSL_GUARDED_BY(mutex_);
  bool tells_before_gets_ ABSL_GUARDED_BY(mutex_) = false;
  size_t watched_ ABSL_GUARDED_BY(mutex_) = 0;  // of log_, that the watch has sent
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<http::ScriptedServer> server_;
};

}  // namespace meshca

#endif  // MESHCA_TEST_CA_POD_CERTIFICATES_REQUESTS_CLUSTER_H_
