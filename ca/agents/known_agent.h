// One agent as AgentLedger knows it, and what its node counts as holding by that.
#ifndef MESHCA_CA_AGENTS_KNOWN_AGENT_H_
#define MESHCA_CA_AGENTS_KNOWN_AGENT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "ca/agents/agent_report.h"
#include "ca/agents/authority_ids.h"
#include "ca/subscribers/subscriber_instance.h"
#include "ca/subscribers/subscriber_record.h"
#include "ca/subscribers/trust_version.h"

namespace meshca {

// Names one Attach stream; unique within the process.
enum class AgentStreamId : uint64_t { kNone = 0 };

// What of an agent's row was saved last, as far as reports change it.
struct SavedHolding {
  TrustVersion trust_version = 0;
  AuthorityIds::Id authority_id;
  bool takes_key = false;
  absl::Time certificate_expires;
  bool operator==(const SavedHolding&) const = default;
};

// There is one for each node, ten thousand of them: what it holds is kept small.
struct KnownAgent {
  // What is remembered: of an agent that is attached as it was when its stream began, otherwise as it is. Its trust
  // version is the least that the node held, its authority the one of all certificates, or "" where there are several.
  SubscriberRecord row;
  std::string version;  // of the program, as the stream or the last one said
  AgentStreamId stream = AgentStreamId::kNone;
  std::optional<HeldReport> report;  // the stream's last
  absl::Duration reported_at;
  absl::Duration comes_back_until;    // until when `row` counts beside the reports
  AuthorityIds::Id own_authority_id;  // of the certificate that the stream showed; null: it showed none
  // Of those that were issued for the agent itself and that no stream has shown yet. It may never get them, or not use
  // them (a lost answer, a full disk), and it may do so at any time until they end. Each authority once.
  struct OwnIssued {
    AuthorityIds::Id authority_id;
    absl::Duration until;  // since boot
  };
  std::vector<OwnIssued> own_issued;
  struct Recent {
    AuthorityIds::Id authority_id;
    absl::Duration at;
  };
  std::vector<Recent> issued;  // the newest certificate under each of a few authorities
  struct EvictedConsumer {
    SubscriberRecord row;
    bool saved = false;
  };
  absl::flat_hash_map<std::string, EvictedConsumer> evicted_consumers;  // by instance

  // For AgentLedger's book of what is to be saved.
  bool changed = false;                                  // its row is to be saved
  bool may_differ = false;                               // its row may be another one than was saved
  bool end_noted = false;                                // it is looked at when its certificates have ended
  absl::Duration differs_at = absl::InfiniteDuration();  // when it is looked at because time alone may change its row
  std::optional<SavedHolding> saved;

  bool attached() const { return stream != AgentStreamId::kNone; }
};

// A report may have been made before what was issued so shortly before its arrival.
inline constexpr absl::Duration kReportLag = absl::Seconds(5);

bool NamesAllBehind(const HeldReport& report);

// The row by which the agent is remembered. No node holds a newer trust than was `published`.
SubscriberRecord RowOf(const KnownAgent& agent, TrustVersion published, absl::Duration since_boot);
// Adds the records that a rotation judges the node by.
void AddRecords(const KnownAgent& agent, TrustVersion published, absl::Duration since_boot,
                std::vector<SubscriberRecord>& records);
// When the node counts as holding something else although nothing is heard of it: after `since_boot`, or never.
absl::Duration ChangesByTimeAt(const KnownAgent& agent, absl::Duration since_boot);

}  // namespace meshca

#endif  // MESHCA_CA_AGENTS_KNOWN_AGENT_H_
