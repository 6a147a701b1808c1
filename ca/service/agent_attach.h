// One agent's Attach stream.
#ifndef MESHCA_CA_SERVICE_AGENT_ATTACH_H_
#define MESHCA_CA_SERVICE_AGENT_ATTACH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/agents/agent_registry.h"
#include "ca/agents/entries_feed.h"
#include "ca/base/entropy.h"
#include "ca/base/judged_clock.h"
#include "ca/base/mutex.h"
#include "ca/rpc/router.h"
#include "ca/rpc/stream.h"
#include "ca/rpc/token_bucket.h"
#include "ca/rpc/typed_stream_handle.h"
#include "ca/service/agent_gate.h"
#include "ca/service/agent_message.h"
#include "ca/service/agent_shares.h"
#include "ca/service/agent_workers.h"
#include "meshca/agent/v1/agent.pb.h"

namespace meshca {

class AgentAttach;

// What all streams share. Thread-safe.
class AgentStreams {
 public:
  struct Parts {  // all outlive the streams
    AgentRegistry* registry = nullptr;
    EntriesFeed* entries = nullptr;
    const AgentGate* gate = nullptr;
    AgentShares* shares = nullptr;    // remembers who was judged and may be served
    AgentWorkers* workers = nullptr;  // where agents are judged
    const JudgedClock* clock = nullptr;
    EntropySource* entropy = nullptr;
    absl::Duration delivered_after = absl::Seconds(60);
    absl::Duration hello_within = absl::Seconds(10);
  };

  explicit AgentStreams(Parts parts) : parts_(parts) {}

  const Parts& parts() const { return parts_; }
  EntriesMessages& entries_messages() { return entries_messages_; }

  // Streams are told of `trust` from now on, those that are open at once. A lower version than before is passed over.
  void SetTrust(TrustVersion version, rpc::Payload message);
  struct Trust {
    TrustVersion version = 0;
    rpc::Payload message;  // null: none yet
  };
  Trust trust() const;

  uint64_t Add(rpc::TypedStreamHandle<AgentAttach> stream);
  void Greeted(uint64_t number);  // its hello has come
  void Remove(uint64_t number);
  // Ends those whose hello is overdue.
  void EndSilent();

 private:
  struct Open {
    rpc::TypedStreamHandle<AgentAttach> stream;
    absl::Duration hello_until;  // since boot; InfiniteDuration: it has come
  };

  const Parts parts_;
  EntriesMessages entries_messages_;
  mutable Mutex mutex_;
  Trust trust_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, Open> open_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
};

// hello --> judged by the inventory, on a worker --> welcome, trust, entries whole; then what changes, and what the
// registry orders. Up come reports. What waits for an agent that does not read is bounded: of trust the newest, of
// entries one update and then all of them, of orders kOrdersMax. Lives on its connection's loop.
class AgentAttach final : public rpc::StreamHandler {
 public:
  static constexpr rpc::StreamOptions kOptions{
      .message_bytes_max = 256 * 1024, .queue_messages_max = 8, .queue_bytes_max = 256 * 1024};
  static constexpr size_t kOrdersMax = 256;

  // `streams` outlives the stream. `agent` is whom its certificate names.
  AgentAttach(rpc::Stream& stream, AgentStreams& streams, AgentCaller agent);
  ~AgentAttach() override;

  void OnMessage(absl::string_view message) override;
  void OnHalfClose() override;
  void OnWritable() override { Pump(); }
  void OnClose(const absl::Status& status) override;

  // Loop thread, by posting. `verdicts`: AgentRegistry::verdicts() before the agent was judged.
  void OnJudged(const absl::Status& verdict, uint64_t verdicts);
  void OfferTrust();
  void OfferEntries(std::shared_ptr<const EntriesUpdate> update);
  void Order(rpc::Payload message);
  void End(const absl::Status& why);

 private:
  class Link;
  struct Arrival;

  void OnHello(const agent::v1::AttachHello& hello);
  void OnHeld(const agent::v1::Held& held, size_t bytes);
  void Judge();
  void Start(uint64_t verdicts);
  bool Charge(size_t report_bytes);
  void Pump();
  bool PumpEntries();

  rpc::Stream& stream_;
  AgentStreams& streams_;
  const std::string node_;
  uint64_t number_ = 0;
  bool ended_ = false;
  std::unique_ptr<Arrival> arrival_;  // what is known of the agent until it is attached; null from then on
  rpc::TokenBucket messages_;
  AgentRegistry::Member member_;  // set: it is attached
  EntriesFeed::Subscription subscription_;

  TrustVersion trust_sent_ = 0;
  std::vector<rpc::Payload> orders_;  // not sent yet
  // The entries that are being sent; null: none. Those that are for this agent alone are serialised part by part.
  std::shared_ptr<const EntriesUpdate> entries_;
  std::shared_ptr<const EntriesMessages::Messages> entries_messages_;  // null: for this agent alone
  size_t entries_next_ = 0;                                            // part
  bool entries_behind_ = false;  // there was news while those before it were being sent: all are sent then
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_AGENT_ATTACH_H_
