// The agents that are attached to this process, and what their nodes hold: evidence for a rotation.
#ifndef MESHCA_CA_AGENTS_AGENT_REGISTRY_H_
#define MESHCA_CA_AGENTS_AGENT_REGISTRY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/agents/agent_ledger.h"
#include "ca/agents/permit_share.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"
#include "ca/subscribers/evidence_source.h"
#include "ca/subscribers/subscriber_store.h"

namespace meshca {

// The other direction of an agent's stream. Any thread; never blocks, and never calls the registry.
class AgentLink {
 public:
  virtual ~AgentLink() = default;
  // So many certificates under these authorities may be replaced within PermitShare::kWithin.
  virtual void PermitReissue(const std::vector<std::string>& authority_ids, uint64_t certificates) = 0;
  // New keys and certificates at once, for these identities and in place of these certificates.
  virtual void RenewNow(const std::vector<std::string>& spiffe_ids, const std::vector<std::string>& serials) = 0;
  // These certificates, of these identities, were taken back.
  virtual void StopServing(const std::vector<std::string>& serials, const std::vector<std::string>& spiffe_ids,
                           absl::string_view reason) = 0;
  // The stream ends. Nothing that it still says counts.
  virtual void End(const absl::Status& why) = 0;
};

// Adds clock, lock and database to the rules of AgentLedger and PermitShare. Rows are saved at once when an agent
// comes, leaves or is evicted, and by the Tick when a report changed what its node holds. Thread-safe; calls block only
// where their comments say so.
class AgentRegistry final : public EvidenceSource {
 public:
  static constexpr absl::Duration kHeartbeat = absl::Seconds(15);

  // The handle of one stream. Ends with Leave or destruction. Used by one thread at a time.
  class Member {
   public:
    Member() = default;
    Member(Member&& other) noexcept { *this = std::move(other); }
    Member& operator=(Member&& other) noexcept;
    ~Member() { Leave(); }
    explicit operator bool() const { return registry_ != nullptr; }

    // False: the node has another stream by now, or was evicted or forgotten.
    bool Report(HeldReport report);
    void Leave();

   private:
    friend class AgentRegistry;
    AgentRegistry* registry_ = nullptr;
    AgentStreamId stream_ = AgentStreamId::kNone;
  };

  // `store` and `clock` outlive the registry. A certificate counts as alive for `skew` after its end.
  AgentRegistry(SubscriberStore& store, const JudgedClock& clock, absl::Duration skew = absl::Minutes(10),
                absl::Duration heartbeat = kHeartbeat);
  // All Members have ended before. Blocks on the database, as Shutdown does.
  ~AgentRegistry() override { Shutdown(); }

  // Reads what is remembered of the last run. Before the first Attach. Blocks on the database.
  absl::Status Load();

  // The newest version of what is trusted that was published.
  void SetTrust(TrustVersion published);

  // The stream of a node begins; one that the node had is ended.
  // `judged` is what verdicts() was before the agent was judged; nullopt: nobody has to judge it. An empty Member: that
  // verdict is outdated, and nothing has happened; judge the agent again.
  Member Attach(const ArrivedAgent& agent, std::shared_ptr<AgentLink> link,
                std::optional<uint64_t> judged = std::nullopt);
  // Certificates were revoked or nodes banned, durably: verdicts on agents that were reached before count no more. A
  // node that is forgotten afterwards stays so, because nobody attaches by an older verdict.
  void OutdateVerdicts();
  // Names the verdicts that are reached from now on.
  uint64_t verdicts() const;
  // A certificate was issued for `node`.
  void Issued(absl::string_view node, const NodeLeaf& leaf);

  std::vector<SubscriberRecord> List() const override;
  std::optional<AgentView> Find(absl::string_view node) const;
  AgentStats Stats() const;
  absl::Duration heartbeat() const { return heartbeat_; }

  // How many certificates under `stale` authorities those hold that are attached, the agents' own among them.
  uint64_t CountStale(absl::FunctionRef<bool(absl::string_view authority_id)> stale) const;
  // Grants permits for certificates under `stale` authorities, at most `per_second` in any second, and has agents whose
  // own certificate is one of them renew it within the same budget. They are told so again after a minute, until they
  // show another one. Returns CountStale.
  uint64_t Reissue(absl::FunctionRef<bool(absl::string_view authority_id)> stale, double per_second);

  // One certificate and the node that holds it.
  struct NodeCertificate {
    std::string node;
    std::string serial;          // hex
    std::string spiffe_id = {};  // whose it is, for SetRevoked
  };
  // Tells those of the agents that are attached to renew these. Whose agent was told.
  std::vector<NodeCertificate> RenewNow(const std::vector<NodeCertificate>& certificates);
  // These, and no others, are revoked and not ended. Agents that are attached are told of those that are new among
  // them; who attaches later hears of all of its node's.
  void SetRevoked(const std::vector<NodeCertificate>& revoked);

  struct Evicted {
    std::vector<SubscriberRecord> records;
    uint64_t ended = 0;  // how many agents were attached; their streams are being ended
  };
  // See AgentLedger::Evict. Durable when Ok. `chosen` runs with a lock held: it must not call the registry. Blocks on
  // the database. Unavailable: not saved, and nobody is evicted.
  absl::StatusOr<Evicted> Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen);

  // The node was banned or forgotten: everything that it holds was taken back, and nothing waits for it. Its stream is
  // ended with `why`.
  void Forget(absl::string_view node, const absl::Status& why);

  // Ends streams that fell silent, saves what was reported, forgets agents whose certificates have ended, if the clock
  // is believed. At least every few seconds.
  void Tick();

  // Saves for a last time. All Members have ended before. Blocks on the database. Idempotent.
  void Shutdown();

 private:
  Moment Now() const { return {clock_.LikelyNow(), clock_.SinceBoot()}; }
  // Null: the node has no stream, or one that counts no more.
  std::shared_ptr<AgentLink> LinkOf(absl::string_view node) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::shared_ptr<AgentLink> TakeLink(AgentStreamId stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  using Batches = std::vector<std::vector<SubscriberRecord>>;
  // What is to be saved now; empty while a save is under way or after one has failed.
  Batches TakeBatches(bool reported) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Save(Batches batches);
  void SaveChanges(bool reported);
  void OnSaved(const std::vector<SubscriberRecord>& rows, const absl::Status& status);

  SubscriberStore& store_;
  const JudgedClock& clock_;
  const absl::Duration skew_;
  const absl::Duration heartbeat_;

  mutable Mutex mutex_;
  CondVar saved_;  // saving_ ended
  AgentLedger ledger_ ABSL_GUARDED_BY(mutex_);
  PermitShare permits_ ABSL_GUARDED_BY(mutex_);
  struct Link {
    std::shared_ptr<AgentLink> link;
    absl::Duration renew_told;  // since boot: when it was told last to renew its own certificate
  };
  absl::flat_hash_map<AgentStreamId, Link> links_ ABSL_GUARDED_BY(mutex_);
  uint64_t verdicts_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t displaced_ ABSL_GUARDED_BY(mutex_) = 0;  // AgentStats::displaced
  absl::flat_hash_map<std::string, std::vector<NodeCertificate>> revoked_ ABSL_GUARDED_BY(mutex_);  // by node
  size_t saving_ ABSL_GUARDED_BY(mutex_) = 0;                                                       // batches under way
  bool failing_ ABSL_GUARDED_BY(mutex_) = false;  // the last save failed: the next is the Tick's
};

}  // namespace meshca

#endif  // MESHCA_CA_AGENTS_AGENT_REGISTRY_H_
