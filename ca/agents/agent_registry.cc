#include "ca/agents/agent_registry.h"

#include <algorithm>
#include <memory>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// One save holds at most this many rows: the writer's other work comes between two.
constexpr size_t kBatchMax = 1000;
// How long an agent that was told to renew its own certificate is given before it is told again.
constexpr absl::Duration kRenewWait = absl::Minutes(1);

constexpr absl::string_view kRevokedText = "revoked by an operator of the CA";

void StopServing(const std::vector<AgentRegistry::NodeCertificate>& revoked, AgentLink& link) {
  std::vector<std::string> serials;
  absl::btree_set<std::string> spiffe_ids;
  for (const AgentRegistry::NodeCertificate& one : revoked) {
    serials.push_back(one.serial);
    if (!one.spiffe_id.empty()) spiffe_ids.insert(one.spiffe_id);
  }
  link.StopServing(serials, {spiffe_ids.begin(), spiffe_ids.end()}, kRevokedText);
}

}  // namespace

AgentRegistry::AgentRegistry(SubscriberStore& store, const JudgedClock& clock, absl::Duration skew,
                             absl::Duration heartbeat)
    : store_(store), clock_(clock), skew_(skew), heartbeat_(heartbeat), ledger_(heartbeat) {}

absl::Status AgentRegistry::Load() {
  MESHCA_ASSIGN_OR_RETURN(std::vector<SubscriberRecord> rows, store_.LoadSubscribers());
  MutexLock lock(mutex_);
  ledger_.Restore(std::move(rows));
  return absl::OkStatus();
}

void AgentRegistry::SetTrust(TrustVersion published) {
  MutexLock lock(mutex_);
  ledger_.SetTrust(published);
}

std::shared_ptr<AgentLink> AgentRegistry::LinkOf(absl::string_view node) const {
  const auto found = links_.find(ledger_.StreamOf(node));
  return found == links_.end() ? nullptr : found->second.link;
}

std::shared_ptr<AgentLink> AgentRegistry::TakeLink(AgentStreamId stream) {
  const auto found = links_.find(stream);
  if (found == links_.end()) return nullptr;
  std::shared_ptr<AgentLink> link = std::move(found->second.link);
  links_.erase(found);
  return link;
}

void AgentRegistry::OutdateVerdicts() {
  MutexLock lock(mutex_);
  ++verdicts_;
}

uint64_t AgentRegistry::verdicts() const {
  MutexLock lock(mutex_);
  return verdicts_;
}

AgentRegistry::Member AgentRegistry::Attach(const ArrivedAgent& agent, std::shared_ptr<AgentLink> link,
                                            std::optional<uint64_t> judged) {
  const Moment now = Now();
  Member member;
  std::shared_ptr<AgentLink> displaced;
  {
    MutexLock lock(mutex_);
    if (judged.has_value() && *judged != verdicts_) return member;
    const AgentLedger::Attachment attachment = ledger_.Attach(agent, now);
    displaced = TakeLink(attachment.displaced);
    if (displaced != nullptr) ++displaced_;
    member.registry_ = this;
    member.stream_ = attachment.stream;
    if (const auto revoked = revoked_.find(agent.node); revoked != revoked_.end()) {
      StopServing(revoked->second, *link);
    }
    links_.emplace(attachment.stream, Link{std::move(link), -absl::InfiniteDuration()});
  }
  if (displaced != nullptr) {
    // An agent whose network was away comes so, once; two that hold one certificate do it again and again.
    LogWarning(
        "a node's agent attached while another one was attached, which was sent away; if this goes on, two "
        "hold one certificate: meshca node ban it, or join it again with --replace",
        {{"node", agent.node}, {"peer", agent.peer}});
    displaced->End(WithReason(absl::UnavailableError(absl::StrCat("node ", agent.node, " has attached again, from ",
                                                                  agent.peer, "; a node has one agent")),
                              "ATTACHED_AGAIN"));
  }
  SaveChanges(/*reported=*/false);
  return member;
}

void AgentRegistry::Issued(absl::string_view node, const NodeLeaf& leaf) {
  const Moment now = Now();
  MutexLock lock(mutex_);
  ledger_.Issued(node, leaf, now);
}

std::vector<SubscriberRecord> AgentRegistry::List() const {
  const absl::Duration since_boot = clock_.SinceBoot();
  MutexLock lock(mutex_);
  return ledger_.List(since_boot);
}

std::optional<AgentView> AgentRegistry::Find(absl::string_view node) const {
  const absl::Duration since_boot = clock_.SinceBoot();
  MutexLock lock(mutex_);
  return ledger_.Find(node, since_boot);
}

AgentStats AgentRegistry::Stats() const {
  MutexLock lock(mutex_);
  AgentStats stats = ledger_.Stats();
  stats.displaced = displaced_;
  return stats;
}

uint64_t AgentRegistry::CountStale(absl::FunctionRef<bool(absl::string_view)> stale) const {
  MutexLock lock(mutex_);
  uint64_t count = 0;
  for (const AgentLedger::Stale& one : ledger_.FindStale(stale)) count += one.certificates + (one.own ? 1 : 0);
  return count;
}

uint64_t AgentRegistry::Reissue(absl::FunctionRef<bool(absl::string_view)> stale, double per_second) {
  const absl::Duration since_boot = clock_.SinceBoot();
  MutexLock lock(mutex_);
  const std::vector<AgentLedger::Stale> found = ledger_.FindStale(stale);
  uint64_t left = 0;
  const auto may_be_told = [since_boot](const Link& link) { return link.renew_told + kRenewWait <= since_boot; };
  std::vector<PermitShare::Want> wants;
  absl::flat_hash_map<AgentStreamId, const AgentLedger::Stale*> by_stream;
  for (const AgentLedger::Stale& one : found) {
    left += one.certificates + (one.own ? 1 : 0);
    by_stream.emplace(one.stream, &one);
    // Its own certificate takes from the same budget, in its turn, and once in kRenewWait.
    const auto link = links_.find(one.stream);
    const bool tell = one.own && link != links_.end() && may_be_told(link->second);
    const uint64_t wanted = one.certificates + (tell ? 1 : 0);
    if (wanted > 0) wants.push_back({one.stream, wanted});
  }
  for (const PermitShare::Grant& grant : permits_.Share(std::move(wants), per_second, since_boot)) {
    const auto link = links_.find(grant.stream);
    if (link == links_.end()) continue;
    const AgentLedger::Stale& one = *by_stream.at(grant.stream);
    uint64_t certificates = grant.certificates;
    if (one.own && may_be_told(link->second)) {
      link->second.renew_told = since_boot;
      link->second.link->RenewNow({ledger_.SpiffeIdOf(grant.stream)}, {});
      --certificates;
    }
    if (certificates > 0 && one.certificates > 0) link->second.link->PermitReissue(one.authority_ids, certificates);
  }
  return left;
}

std::vector<AgentRegistry::NodeCertificate> AgentRegistry::RenewNow(const std::vector<NodeCertificate>& certificates) {
  absl::flat_hash_map<std::string, std::vector<std::string>> by_node;
  for (const NodeCertificate& one : certificates) by_node[one.node].push_back(one.serial);
  std::vector<NodeCertificate> told;
  MutexLock lock(mutex_);
  for (const auto& [node, serials] : by_node) {
    const std::shared_ptr<AgentLink> link = LinkOf(node);
    if (link == nullptr) continue;
    link->RenewNow({}, serials);
    for (const std::string& serial : serials) told.push_back({node, serial});
  }
  return told;
}

void AgentRegistry::SetRevoked(const std::vector<NodeCertificate>& revoked) {
  absl::flat_hash_map<std::string, std::vector<NodeCertificate>> by_node;
  for (const NodeCertificate& one : revoked) by_node[one.node].push_back(one);
  MutexLock lock(mutex_);
  for (const auto& [node, certificates] : by_node) {
    const std::shared_ptr<AgentLink> link = LinkOf(node);
    if (link == nullptr) continue;
    std::vector<NodeCertificate> news = certificates;
    if (const auto before = revoked_.find(node); before != revoked_.end()) {
      absl::flat_hash_set<absl::string_view> told;
      for (const NodeCertificate& one : before->second) told.insert(one.serial);
      news.erase(std::remove_if(news.begin(), news.end(), [&](const auto& one) { return told.contains(one.serial); }),
                 news.end());
    }
    if (!news.empty()) StopServing(news, *link);
  }
  revoked_ = std::move(by_node);
}

absl::StatusOr<AgentRegistry::Evicted> AgentRegistry::Evict(absl::FunctionRef<bool(const SubscriberRecord&)> chosen) {
  const Moment now = Now();
  AgentLedger::Evictions evictions;
  std::vector<std::shared_ptr<AgentLink>> ended;
  {
    MutexLock lock(mutex_);
    // An older row must not overwrite the evicted one.
    while (saving_ > 0) saved_.Wait(mutex_);
    evictions = ledger_.Evict(chosen, now);
    for (const AgentStreamId stream : evictions.streams) ended.push_back(TakeLink(stream));
    failing_ = false;
  }
  SaveChanges(/*reported=*/false);
  bool failed = false;
  {
    MutexLock lock(mutex_);
    while (saving_ > 0) saved_.Wait(mutex_);
    failed = failing_;
    if (failed) {
      for (const std::string& node : evictions.nodes) ledger_.TakeBackEviction(node, now.time);
    }
  }
  // Saved or not, those streams are evidence no more, and whoever is served has to be counted.
  for (const std::shared_ptr<AgentLink>& link : ended) {
    if (link != nullptr) link->End(absl::UnavailableError("evicted by an operator; attach again to be counted again"));
  }
  if (failed && !evictions.nodes.empty()) {
    return absl::UnavailableError("the eviction could not be saved; try again once the database writes");
  }
  return Evicted{std::move(evictions.records), evictions.streams.size()};
}

void AgentRegistry::Forget(absl::string_view node, const absl::Status& why) {
  std::shared_ptr<AgentLink> link;
  std::vector<std::string> forgotten;
  {
    MutexLock lock(mutex_);
    link = TakeLink(ledger_.Forget(node));
    forgotten = ledger_.TakeForgotten();
  }
  if (link != nullptr) link->End(why);
  if (!forgotten.empty()) store_.DeleteSubscribers(std::move(forgotten), [](const absl::Status&) {});
}

void AgentRegistry::Tick() {
  const std::optional<absl::Time> believed = clock_.BelievedNow();
  const Moment now = Now();
  std::vector<std::shared_ptr<AgentLink>> silent;
  std::vector<std::string> forgotten;
  {
    MutexLock lock(mutex_);
    for (const AgentStreamId stream : ledger_.FindSilent(now.since_boot)) {
      ledger_.Leave(stream, now);
      silent.push_back(TakeLink(stream));
    }
    if (believed.has_value()) ledger_.ForgetEnded(*believed, skew_);
    forgotten = ledger_.TakeForgotten();
    failing_ = false;
  }
  for (const std::shared_ptr<AgentLink>& link : silent) {
    if (link == nullptr) continue;
    link->End(WithReason(absl::UnavailableError(absl::StrCat("no report for ", AgentLedger::kHeartbeatsMissed,
                                                             " heartbeats; attach again")),
                         "HEARTBEAT_MISSED"));
  }
  if (!forgotten.empty()) store_.DeleteSubscribers(std::move(forgotten), [](const absl::Status&) {});
  SaveChanges(/*reported=*/true);
}

AgentRegistry::Batches AgentRegistry::TakeBatches(bool reported) {
  Batches batches;
  // One save at a time, so that an older row never overwrites a newer one; what changes meanwhile is in the next.
  if (saving_ > 0 || failing_) return batches;
  std::vector<SubscriberRecord> rows = ledger_.TakeChanges(reported, clock_.SinceBoot());
  for (size_t i = 0; i < rows.size(); i += kBatchMax) {
    const size_t end = std::min(rows.size(), i + kBatchMax);
    batches.emplace_back(std::make_move_iterator(rows.begin() + static_cast<ptrdiff_t>(i)),
                         std::make_move_iterator(rows.begin() + static_cast<ptrdiff_t>(end)));
  }
  saving_ = batches.size();
  return batches;
}

void AgentRegistry::Save(Batches batches) {
  for (std::vector<SubscriberRecord>& batch : batches) {
    std::vector<SubscriberRecord> rows = batch;
    store_.SaveSubscribers(std::move(batch),
                           [this, rows = std::move(rows)](const absl::Status& status) { OnSaved(rows, status); });
  }
}

void AgentRegistry::SaveChanges(bool reported) {
  Batches batches;
  {
    MutexLock lock(mutex_);
    batches = TakeBatches(reported);
  }
  Save(std::move(batches));
}

void AgentRegistry::OnSaved(const std::vector<SubscriberRecord>& rows, const absl::Status& status) {
  if (!status.ok()) {
    LogWarning("what agents' nodes hold could not be saved; it is tried again",
               {{"rows", absl::StrCat(rows.size())}, {"error", std::string(status.message())}});
  }
  Batches more;
  {
    MutexLock lock(mutex_);
    if (!status.ok()) {
      failing_ = true;
      ledger_.ChangeAgain(rows);
    }
    if (--saving_ > 0) return;
    if (ledger_.HasChanges()) more = TakeBatches(/*reported=*/false);
    // Told with the lock held: once it is free, Shutdown may destroy everything here.
    if (saving_ == 0) saved_.NotifyAll();
  }
  Save(std::move(more));
}

void AgentRegistry::Shutdown() {
  {
    MutexLock lock(mutex_);
    while (saving_ > 0) saved_.Wait(mutex_);
    failing_ = false;
  }
  SaveChanges(/*reported=*/true);
  MutexLock lock(mutex_);
  while (saving_ > 0) saved_.Wait(mutex_);
}

AgentRegistry::Member& AgentRegistry::Member::operator=(Member&& other) noexcept {
  Leave();
  registry_ = std::exchange(other.registry_, nullptr);
  stream_ = std::exchange(other.stream_, AgentStreamId::kNone);
  return *this;
}

bool AgentRegistry::Member::Report(HeldReport report) {
  if (registry_ == nullptr) return false;
  const Moment now = registry_->Now();
  MutexLock lock(registry_->mutex_);
  return registry_->ledger_.Report(stream_, std::move(report), now);
}

void AgentRegistry::Member::Leave() {
  AgentRegistry* const registry = std::exchange(registry_, nullptr);
  if (registry == nullptr) return;
  const Moment now = registry->Now();
  {
    MutexLock lock(registry->mutex_);
    registry->ledger_.Leave(stream_, now);
    registry->TakeLink(stream_);
  }
  registry->SaveChanges(/*reported=*/false);
}

}  // namespace meshca
