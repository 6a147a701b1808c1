// Keeps one Secret with a server's certificate and key as it is to be: makes it, renews it, repairs it.
#ifndef MESHCA_CA_SERVER_SECRETS_SERVER_SECRET_KEEPER_H_
#define MESHCA_CA_SERVER_SECRETS_SERVER_SECRET_KEEPER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/base/entropy.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"
#include "ca/base/serial_executor.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/issuance/issuance_store.h"
#include "ca/kubernetes/api_server.h"
#include "ca/kubernetes/leadership.h"
#include "ca/kubernetes/list_watch.h"
#include "ca/kubernetes/open_calls.h"
#include "ca/kubernetes/reachability.h"
#include "ca/publishing/publication_ledger.h"
#include "ca/server_secrets/early_pod_watch.h"
#include "ca/server_secrets/server_secret.h"
#include "ca/server_secrets/standing_leaf.h"
#include "ca/subscribers/evidence_source.h"
#include "ca/x509/public_key.h"

namespace meshca {

struct ServerSecretOptions {
  ServerSecretName secret;
  std::string pods;  // labels of the pods that read it ("app=istiod"): those that started too early are named; "": none
  ServerNames names;
  KeyType key_type = KeyType::kEcP256;
  PublicationOptions publication;
  absl::Duration call_timeout = kubernetes::kLeadersWriteMax;
  // Between attempts at a certificate: the first, twice as long each time, up to the last.
  absl::Duration retry_first = absl::Seconds(1);
  absl::Duration retry_last = absl::Seconds(30);
  // How often the inventory is asked whether the certificate was revoked.
  absl::Duration record_every = absl::Minutes(1);
  // How often pods that were started before the Secret was there are looked for again, until there are none.
  absl::Duration early_every = absl::Minutes(1);
};

struct ServerSecretStatus {
  ServerSecretName secret;
  bool listed = false;             // what stands there is known
  bool namespace_missing = false;  // so that there is nothing to write it in, nor anybody who reads it
  bool behind = true;              // it does not show what it is to
  std::string fault;               // why it is not as it should be, for people; "": nothing is known to be wrong
  absl::Status watching;           // why it is not followed at the moment; Ok: it is
  absl::Duration age = absl::InfiniteDuration();  // of what is known of it (ListWatch::Age)
  absl::Time expires = absl::InfinitePast();      // the certificate that is to stand there; InfinitePast: there is none
  absl::Time renews = absl::InfinitePast();
  absl::Time as_of = absl::InfinitePast();  // the time now, as far as it is known
  std::string serial;                       // hex, of that certificate
  // What was started before the Secret was there and still runs, as `kubectl rollout restart` takes it.
  std::vector<std::string> early;
  // Since the start.
  uint64_t issued = 0;
  uint64_t written = 0;
  uint64_t failed = 0;  // attempts at a certificate or a write
};

// The certificate is made here, with its key, for the identity of a service account: its record's origin is
// "published", and nobody can renew it by showing it. It is recorded before it is written, and written again until it
// is seen there. What stands in the Secret at the start and is still good stays; what somebody edits or deletes is
// repaired. A new certificate with a new key is made at half of the life, and at once where another root signs than the
// one above it, the trusted roots have changed, it was revoked, or it is for other names.
//
// The Secret is a subscriber of the roots, by the kind "published": it holds a version of them, and the certificate,
// once it shows them and whoever mounts it has had the time to read it. Thread-safe.
class ServerSecretKeeper final : public EvidenceSource {
 public:
  // All outlive it.
  struct Parts {
    kubernetes::ApiServer& server;
    const AuthoritySnapshots& authorities;
    IssuanceStore& store;
    IssuancePipeline& pipeline;
    const JudgedClock& clock;
    EntropySource& entropy;
    // While it is another's the Secret is followed and counted, and nothing is issued or written. Null: nobody else is
    // to be expected.
    kubernetes::Leadership* leadership = nullptr;
  };

  // Nothing is read, issued or written before Start.
  ServerSecretKeeper(ServerSecretOptions options, Parts parts);
  ~ServerSecretKeeper() override;  // Shutdown

  void Start();
  // `pem`, every trusted root, is to stand in ca.crt from now on. The authorities have changed, too.
  void SetRoots(TrustVersion version, std::string pem);

  // One record. Where the namespace is missing it takes nothing, for nobody can read the Secret then.
  std::vector<SubscriberRecord> List() const override;
  ServerSecretStatus Status() const;

  // Nothing is followed, issued or written any more when it returns. Idempotent; not on the API server's client thread.
  // The pipeline is still running.
  void Shutdown();

 private:
  class Sink;

  // The executor's duty, and its two steps, which ask the store. The first looks at what is known; all that makes or
  // writes something begins in the second, and nowhere else.
  absl::Duration Work();
  absl::Status JudgeWhatStands(const AuthoritySnapshot& authorities);
  void MakeAndWrite(const std::shared_ptr<const AuthoritySnapshot>& authorities);

  void WarnOfReplacing(const std::string& why);
  void SetContent() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Why the certificate of now has to be replaced; "": it may stay.
  std::string WhyReplaceNow(const std::shared_ptr<const AuthoritySnapshot>& authorities);
  void Issue(const std::string& why);
  void OnIssued(const std::string& why, std::unique_ptr<SoftwareKey> key, absl::StatusOr<IssuedCertificate> issued);
  void IssueLater(const absl::Status& why);
  void Write();
  void OnWritten(const absl::Status& status);

  std::string FaultOfWrite(const absl::Status& status) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  bool MayWrite() const { return parts_.leadership == nullptr || parts_.leadership->Held(); }

  // What is known of the watch is as old as this; zero where it is followed.
  absl::Duration Unheard() const;
  Publication Published(absl::Duration unheard) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether whoever mounts the Secret has the certificate of now.
  bool LeafIsHeld(const Publication& one, absl::Duration unheard) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string FaultOf(const Publication& one) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ServerSecretOptions options_;
  const Parts parts_;
  const std::string instance_;
  const absl::Time since_;  // List's first_seen
  const std::unique_ptr<Sink> sink_;

  mutable Mutex mutex_;
  CondVar ended_;  // an issuance has
  PublicationLedger ledger_ ABSL_GUARDED_BY(mutex_);
  bool listed_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<SeenSecret> seen_ ABSL_GUARDED_BY(mutex_);  // as the watch told last
  std::string seen_digest_ ABSL_GUARDED_BY(mutex_);         // of its content
  bool seen_is_new_ ABSL_GUARDED_BY(mutex_) = false;        // it was not judged yet
  bool namespace_missing_ ABSL_GUARDED_BY(mutex_) = false;
  TrustVersion version_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string roots_pem_ ABSL_GUARDED_BY(mutex_);             // "": not told yet
  std::optional<StandingLeaf> leaf_ ABSL_GUARDED_BY(mutex_);  // that is to stand there
  std::string leafs_roots_ ABSL_GUARDED_BY(mutex_);           // that were trusted when it came there, PEM
  std::string held_authority_ ABSL_GUARDED_BY(mutex_);        // that signed the leaf which all readers have
  bool issuing_ ABSL_GUARDED_BY(mutex_) = false;              // in the pipeline, or on its way from there
  std::string issue_fault_ ABSL_GUARDED_BY(mutex_);
  std::string judge_fault_ ABSL_GUARDED_BY(mutex_);  // of the last round
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t issued_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t written_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t failed_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  // The executor's.
  std::shared_ptr<const AuthoritySnapshot> judged_by_;  // the snapshot by which the leaf of now was found good
  absl::Duration record_at_ = absl::ZeroDuration();     // since boot: when the inventory is asked again
  absl::Duration issue_at_ = absl::ZeroDuration();      // since boot: no sooner than this
  int issue_failures_ = 0;                              // in a row
  absl::Duration warned_at_ = -absl::InfiniteDuration();

  EarlyPodWatch early_pods_;
  SerialExecutor executor_;
  kubernetes::OpenCalls writes_;
  std::optional<kubernetes::ReturnListener> on_return_;
  std::unique_ptr<kubernetes::ListWatch> watch_;  // made by Start
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVER_SECRETS_SERVER_SECRET_KEEPER_H_
