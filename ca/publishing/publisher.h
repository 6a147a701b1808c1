// Publishes the roots in Kubernetes objects, keeps them as they are to be, and knows who has them.
#ifndef MESHCA_CA_PUBLISHING_PUBLISHER_H_
#define MESHCA_CA_PUBLISHING_PUBLISHER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/base/entropy.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"
#include "ca/base/serial_executor.h"
#include "ca/kubernetes/api_server.h"
#include "ca/kubernetes/leadership.h"
#include "ca/kubernetes/list_watch.h"
#include "ca/kubernetes/object_event.h"
#include "ca/kubernetes/open_calls.h"
#include "ca/kubernetes/reachability.h"
#include "ca/kubernetes/served_watch.h"
#include "ca/publishing/namespace_choice.h"
#include "ca/publishing/publication_ledger.h"
#include "ca/publishing/published_kind.h"
#include "ca/subscribers/evidence_source.h"

namespace meshca {

struct PublisherOptions {
  // One object by the versions of its API, the preferred one first: the first that the API server serves is used.
  std::vector<PublishedKind> kinds;
  std::optional<NamespaceChoice> namespaces;  // nullopt: the kind is in no namespace
  PublicationOptions publication;
  size_t writes_at_once = 16;
  absl::Duration write_timeout = kubernetes::kLeadersWriteMax;
  // An API that is not served is looked for again after this: a cluster may be upgraded.
  absl::Duration look_again = absl::Minutes(10);
};

struct PublisherStatus {
  std::string object;     // "ConfigMap istio-ca-root-cert"
  bool unserved = false;  // the API server serves no version of its API, so there is nothing to publish in
  size_t places = 0;
  size_t behind = 0;      // of these: do not show what they are to
  std::string fault;      // of one of these, its name before it; "": nothing is known to be wrong with them
  absl::Duration age;     // of what is known (ListWatch::Age)
  absl::Status watching;  // why the objects or the namespaces are not followed at the moment; Ok: they are
  uint64_t written = 0;   // since the start
  uint64_t failed = 0;
};

// Every object is a subscriber of the roots, by the kind "published": it holds a version once it shows it and whoever
// mounts it has had the time to read it (PublicationOptions::mount_delay). Thread-safe.
class Publisher final : public EvidenceSource {
 public:
  // Everything outlives it. Nothing is read or written before Start. While `leadership` is another's the objects are
  // followed and counted, and not written; null: nobody else is to be expected.
  // `events` is told of an object that cannot be written, and of one that somebody else writes too; null: nobody is.
  Publisher(PublisherOptions options, kubernetes::ApiServer& server, const JudgedClock& clock, EntropySource& entropy,
            kubernetes::Leadership* leadership = nullptr, kubernetes::EventSink* events = nullptr);
  ~Publisher() override;  // Shutdown

  void Start();
  // `pem` is to stand there from now on.
  void SetRoots(TrustVersion version, std::string pem);

  // Until the objects and the namespaces were listed, one record that holds nothing stands for them all. Where their
  // API is not served, nobody can take the roots from there, and there is none.
  std::vector<SubscriberRecord> List() const override;
  PublisherStatus Status() const;

  // Ends the writes that are under way; nothing is written or followed any more when it returns. Idempotent; not on the
  // API server's client thread.
  void Shutdown();

 private:
  class Objects;
  class Namespaces;

  absl::Duration Work();
  absl::Duration Write();
  void OnWritten(const std::string& place, const absl::Status& status);
  void Warn(const std::string& place, const std::string& fault, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TellEvent(const std::string& place, const char* reason, std::string note) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  SubscriberRecord RecordOf(const Publication& one, absl::Duration now) const;
  SubscriberRecord RecordOfAll(std::string why) const;
  absl::Status Watching() const;
  bool MayWrite() const { return leadership_ == nullptr || leadership_->Held(); }
  std::string InstanceOf(const std::string& place) const;

  const PublishedKind& kind() const { return options_.kinds.front(); }  // for what all versions have in common

  const PublisherOptions options_;
  kubernetes::ApiServer& server_;
  const JudgedClock& clock_;
  EntropySource& entropy_;
  kubernetes::Leadership* const leadership_;
  kubernetes::EventSink* const events_;
  const absl::Time since_;  // List's first_seen

  const std::unique_ptr<Objects> objects_;
  const std::unique_ptr<Namespaces> namespaces_;

  kubernetes::OpenCalls writes_;
  kubernetes::ServedWatch objects_watch_;  // its versions are options_.kinds

  mutable Mutex mutex_;
  PublicationLedger ledger_ ABSL_GUARDED_BY(mutex_);
  size_t writing_ ABSL_GUARDED_BY(mutex_) = 0;                                  // writes under way
  absl::flat_hash_map<std::string, std::string> uids_ ABSL_GUARDED_BY(mutex_);  // of the objects, by place
  uint64_t written_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t failed_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Duration warned_at_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();
  uint64_t unsaid_ ABSL_GUARDED_BY(mutex_) = 0;  // failures that were not logged since then
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  SerialExecutor executor_;
  std::optional<kubernetes::ReturnListener> on_return_;
  std::unique_ptr<kubernetes::ListWatch> namespaces_watch_;  // made by Start
};

}  // namespace meshca

#endif  // MESHCA_CA_PUBLISHING_PUBLISHER_H_
