// A Kubernetes API server of namespaces, ConfigMaps, Secrets and pods alone: lists, watches and applies.
#ifndef MESHCA_TEST_CA_PUBLISHING_SMALL_CLUSTER_H_
#define MESHCA_TEST_CA_PUBLISHING_SMALL_CLUSTER_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "ca/base/mutex.h"
#include "ca/base/printable.h"
#include "ca/kubernetes/picked_fields.h"
#include "test/ca/http/scripted_server.h"
#include "test/ca/kubernetes/fake_api_server.h"

namespace meshca {

class SmallCluster {
 public:
  SmallCluster() : server_(std::make_unique<http::ScriptedServer>([this](auto& peer, int) { Serve(peer); })) {}
  ~SmallCluster() {
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

  void AddNamespace(const std::string& name, const std::string& phase = "Active") {
    Set("namespaces", name,
        absl::StrCat(R"({"metadata":{"name":")", name, R"("},"status":{"phase":")", phase, R"("}})"));
  }
  // Somebody else writes it, and leaves the labels as they are.
  void SetConfigMap(const std::string& namespace_name, const std::string& content) {
    MutexLock lock(mutex_);
    SetConfigMapLocked(namespace_name, content, MarksOf(kinds_["configmaps"].objects[namespace_name]));
  }
  // Somebody else takes the labels and annotations away, and leaves the rest as it is.
  void Unmark(const std::string& resource, const std::string& key) {
    MutexLock lock(mutex_);
    std::string json = kinds_[resource].objects[key];
    const std::string marks = MarksOf(json);
    json.erase(json.find(marks), marks.size());
    SetLocked(resource, key, json);
  }
  // The labels and annotations of one, as JSON; "": there is none.
  std::string Marks(const std::string& resource, const std::string& key) {
    MutexLock lock(mutex_);
    return MarksOf(kinds_[resource].objects[key]);
  }
  // "NAMESPACE/NAME" is `json` from now on, which begins with {"metadata":{
  void SetSecret(const std::string& key, const std::string& json) { Set("secrets", key, json); }
  void SetPod(const std::string& name, const std::string& json) { Set("pods", name, json); }
  void Delete(const std::string& resource, const std::string& key) {
    MutexLock lock(mutex_);
    Kind& kind = kinds_[resource];
    kind.log.push_back(absl::StrCat(R"({"type":"DELETED","object":)", kind.objects[key], "}\n"));
    kind.objects.erase(key);
    changed_.NotifyAll();
  }
  // How applies are answered from now on: "" as they should be, else by this whole answer.
  void RefuseWrites(std::string answer) {
    MutexLock lock(mutex_);
    refusal_ = std::move(answer);
  }
  // The creationTimestamp of Secrets that are made from now on.
  void CreateAt(const std::string& time) {
    MutexLock lock(mutex_);
    created_ = time;
  }
  // Tells who watches that nothing has happened.
  void Bookmark() {
    MutexLock lock(mutex_);
    for (auto& [resource, kind] : kinds_) {
      kind.log.push_back(absl::StrCat(R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":")",
                                      kind.log.size() + 1, "\"}}}\n"));
    }
    changed_.NotifyAll();
  }
  // Every request is answered by 404 from now on, as by a proxy that has lost its backend, and the watches end.
  void Break(bool broken) {
    MutexLock lock(mutex_);
    broken_ = broken;
    changed_.NotifyAll();
  }
  // Every request from now on ends without an answer, and so do the watches.
  void GoAway(bool away) {
    away_ = away;
    Break(away);
  }
  void HoldLists(bool hold) {
    MutexLock lock(mutex_);
    held_ = hold;
    changed_.NotifyAll();
  }
  // False: it did not come to that within a minute. `done` is called with the content of all ConfigMaps, by namespace,
  // and the JSON of all Secrets that were written, by NAMESPACE/NAME.
  bool Await(const std::function<bool(const std::map<std::string, std::string>&)>& done) {
    MutexLock lock(mutex_);
    const absl::Time end = absl::Now() + absl::Minutes(1);
    while (!done(contents_)) {
      if (!changed_.WaitFor(mutex_, end - absl::Now()) && absl::Now() >= end) return false;
    }
    return true;
  }
  int not_served() const { return not_served_; }        // requests for what it does not serve
  int asked_in_vain() const { return asked_in_vain_; }  // requests while it was away
  int applies() {
    MutexLock lock(mutex_);
    return applies_;
  }
  // How lists and watches are answered from now on: "" as they should be, else by this whole answer.
  void RefuseReads(std::string answer) {
    MutexLock lock(mutex_);
    read_refusal_ = std::move(answer);
  }
  std::string read_refusal() {
    MutexLock lock(mutex_);
    return read_refusal_;
  }

 private:
  struct Kind {
    std::map<std::string, std::string> objects;  // JSON, by the key of Set
    std::vector<std::string> log;                // events, as a watch sends them; the resource version is its length
  };

  void Set(const std::string& resource, const std::string& key, const std::string& json) {
    MutexLock lock(mutex_);
    SetLocked(resource, key, json);
  }
  void SetLocked(const std::string& resource, const std::string& key, const std::string& json)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Kind& kind = kinds_[resource];
    // As the API server has it, a write that changes nothing is no event.
    if (std::exchange(kind.objects[key], json) == json) return;
    const std::string version = absl::StrCat(R"({"metadata":{"resourceVersion":")", kind.log.size() + 1, R"(",)");
    kind.log.push_back(absl::StrCat(R"({"type":"MODIFIED","object":)", version,
                                    json.substr(std::string(R"({"metadata":{)").size()), "}\n"));
    if (resource == "configmaps") {
      contents_[key] = std::string(kubernetes::PickFields(json, {R"(data.root-cert\.pem)"})->Text(0));
    } else if (resource == "secrets") {
      contents_[key] = json;
    }
    changed_.NotifyAll();
  }

  void Serve(http::ScriptedPeer& peer) {
    for (std::string head = peer.ReadHead(); !head.empty(); head = peer.ReadHead()) {
      const std::string target = std::vector<std::string>(absl::StrSplit(head, ' '))[1];
      const std::string resource = absl::StrContains(target, "configmaps") ? "configmaps"
                                   : absl::StrContains(target, "/secrets") ? "secrets"
                                   : absl::StrContains(target, "/pods")    ? "pods"
                                                                           : "namespaces";
      if (away_) {
        ++asked_in_vain_;
        return;
      }
      if (absl::StrContains(target, "/readyz")) {
        peer.Send(kubernetes::HttpAnswer(200, "ok"));
        continue;
      }
      // Of the core group it serves v1 alone.
      if (!absl::StrContains(target, "/api/v1/") || broken_) {
        ++not_served_;
        peer.Send(kubernetes::HttpAnswer(404, "404 page not found\n"));
      } else if (absl::StartsWith(head, "PATCH ")) {
        Apply(peer, target, peer.BodyOf(head));
      } else if (const std::string refusal = read_refusal(); !refusal.empty()) {
        peer.Send(refusal);
      } else if (absl::StrContains(target, "watch=")) {
        return Watch(peer, kinds_[resource], target);
      } else {
        List(peer, resource);
      }
    }
  }
  void List(http::ScriptedPeer& peer, const std::string& resource) {
    MutexLock lock(mutex_);
    while (held_ && !ending_) changed_.Wait(mutex_);
    const auto append = [](std::string* out, const auto& object) { out->append(object.second); };
    peer.Send(kubernetes::HttpAnswer(
        200, absl::StrCat(R"({"kind":"List","metadata":{"resourceVersion":")", kinds_[resource].log.size(),
                          R"("},"items":[)", absl::StrJoin(kinds_[resource].objects, ",", append), "]}")));
  }
  void Watch(http::ScriptedPeer& peer, Kind& kind, const std::string& target) {
    const std::string kFrom = "resourceVersion=";
    size_t sent = 0;
    (void)absl::SimpleAtoi(
        std::vector<std::string>(absl::StrSplit(target.substr(target.find(kFrom) + kFrom.size()), '&'))[0], &sent);
    peer.Send(kubernetes::kChunkedHead);
    MutexLock lock(mutex_);
    while (!ending_ && !broken_) {
      for (; sent < kind.log.size(); ++sent) peer.Send(kubernetes::Chunk(kind.log[sent]));
      changed_.Wait(mutex_);
    }
  }
  void Apply(http::ScriptedPeer& peer, const std::string& target, const std::string& body) {
    // .../namespaces/NAMESPACE/configmaps/...
    const std::vector<std::string> parts = absl::StrSplit(target, '/');
    const std::string place = *(std::find(parts.begin(), parts.end(), "namespaces") + 1);
    MutexLock lock(mutex_);
    ++applies_;
    changed_.NotifyAll();
    if (!refusal_.empty()) return peer.Send(refusal_);
    if (absl::StrContains(target, "/secrets/")) return ApplySecret(peer, place, body);
    const std::string content(kubernetes::PickFields(body, {R"(data.root-cert\.pem)"})->Text(0));
    SetConfigMapLocked(place, content, MarksOf(body));
    peer.Send(kubernetes::HttpAnswer(200, "{}"));
  }

  void SetConfigMapLocked(const std::string& place, const std::string& content, const std::string& marks)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    SetLocked("configmaps", place,
              absl::StrCat(R"({"metadata":{"namespace":")", place, R"(")", marks, R"(},"data":{"root-cert.pem":)",
                           JsonString(content), "}}"));
  }

  void ApplySecret(http::ScriptedPeer& peer, const std::string& place, const std::string& body)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const kubernetes::PickedFields picked = *kubernetes::PickFields(
        body, {"metadata.name", "type", R"(data.tls\.crt)", R"(data.tls\.key)", R"(data.ca\.crt)"});
    const auto field = [&picked](size_t index) { return JsonString(picked.Text(index)); };
    const std::string key = absl::StrCat(place, "/", picked.Text(0));
    const auto there = kinds_["secrets"].objects.find(key);
    std::string created = there == kinds_["secrets"].objects.end()
                              ? ""
                              : std::string(kubernetes::PickFields(there->second, {kCreated})->Text(0));
    if (created.empty()) created = created_;
    SetLocked("secrets", key,
              absl::StrCat(R"({"metadata":{"creationTimestamp":)", JsonString(created), MarksOf(body), R"(,"name":)",
                           field(0), R"(},"type":)", field(1), R"(,"data":{"tls.crt":)", field(2), R"(,"tls.key":)",
                           field(3), R"(,"ca.crt":)", field(4), "}}"));
    peer.Send(kubernetes::HttpAnswer(200, "{}"));
  }

  // The labels and annotations of `json`, to be put between other members of its metadata.
  static std::string MarksOf(const std::string& json) {
    if (json.empty()) return "";
    const kubernetes::PickedFields picked =
        *kubernetes::PickFields(json, {"metadata.labels.*", "metadata.annotations.*"});
    std::string marks;
    for (const size_t which : {0, 1}) {
      if (picked.All(which).empty()) continue;
      const auto append = [](std::string* out, const auto& mark) {
        absl::StrAppend(out, JsonString(mark.first), ":", JsonString(mark.second));
      };
      absl::StrAppend(&marks, which == 0 ? R"(,"labels":{)" : R"(,"annotations":{)",
                      absl::StrJoin(picked.All(which), ",", append), "}");
    }
    return marks;
  }

  static constexpr char kCreated[] = "metadata.creationTimestamp";

  std::atomic<int> not_served_ = 0;
  std::atomic<int> asked_in_vain_ = 0;
  std::atomic<bool> broken_ = false;
  std::atomic<bool> away_ = false;
  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, Kind> kinds_ = {{"configmaps", {}}, {"namespaces", {}}, {"pods", {}}, {"secrets", {}}};
  std::map<std::string, std::string> contents_ ABSL_GUARDED_BY(mutex_);
  std::string created_ ABSL_GUARDED_BY(mutex_) = "2026-01-02T03:04:05Z";
  std::string refusal_ ABSL_GUARDED_BY(mutex_);
  std::string read_refusal_ ABSL_GUARDED_BY(mutex_);
  int applies_ ABSL_GUARDED_BY(mutex_) = 0;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<http::ScriptedServer> server_;
};

}  // namespace meshca

#endif  // MESHCA_TEST_CA_PUBLISHING_SMALL_CLUSTER_H_
