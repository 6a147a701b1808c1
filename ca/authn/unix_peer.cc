#include "ca/authn/unix_peer.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "ca/authn/overflow_ids.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// Stands in a command for an ID that is not known.
std::string AnyId(const TrustDomain& trust_domain) { return absl::StrCat(trust_domain.Id(), "/..."); }

// Zero: no limit.
absl::Duration ShorterOf(absl::Duration a, absl::Duration b) {
  if (a <= absl::ZeroDuration()) return b;
  return b <= absl::ZeroDuration() ? a : std::min(a, b);
}

// Names and lifetime stay with the entry's ID: a caller with several IDs may not mix them. Of several entries of one ID
// the shortest lifetime holds, because it is within what each of them allows.
//
// A hint tells one identity of the caller from the others: the oldest entry that has it keeps it.
void AddEntry(const RegistrationEntry& entry, CallerIdentity& caller) {
  const bool hint_taken = std::any_of(caller.rights.begin(), caller.rights.end(),
                                      [&](const IdentityRights& known) { return known.hint == entry.hint; });
  const std::string hint = hint_taken ? "" : entry.hint;
  auto rights = std::find_if(caller.rights.begin(), caller.rights.end(),
                             [&](const IdentityRights& known) { return known.id == entry.spiffe_id; });
  if (rights == caller.rights.end()) {
    caller.ids.push_back(entry.spiffe_id);
    rights = caller.rights.insert(
        rights, {entry.spiffe_id, entry.dns_names, entry.ttl, {OriginKind::kEntry, entry.id}, hint, entry.jwt_ttl});
    return;
  }
  if (rights->hint.empty()) rights->hint = hint;
  rights->jwt_ttl = ShorterOf(rights->jwt_ttl, entry.jwt_ttl);
  rights->dns_names.insert(rights->dns_names.end(), entry.dns_names.begin(), entry.dns_names.end());
  rights->lifetime_max = ShorterOf(rights->lifetime_max, entry.ttl);
}

// The entries that fit are for the sockets of agents.
absl::Status ServedByAgents(uint32_t uid, const RegistrationEntry& entry) {
  return WithReason(absl::PermissionDeniedError(absl::StrCat(
                        "no registration entry of this socket fits uid ", uid, ": entry ", entry.id, ", which gives ",
                        entry.spiffe_id.uri(), ", is for nodes (", absl::StrJoin(entry.nodes, ", "),
                        "), and their agents serve it; ask the agent's socket, or ",
                        EntryAdvice().Say("make one for this host", entry.spiffe_id.uri(), UidSelector(uid)))),
                    "ENTRY_FOR_NODES");
}

}  // namespace

std::string UnixInstance(const UnixPeer& peer) {
  // Processes of a PID namespace that the kernel cannot show us all have pid 0: one renewal must not stand in for the
  // leaves of all of them.
  if (peer.pid <= 0 || peer.start_time == 0) return "";
  return absl::StrCat("pid ", peer.pid, " start ", peer.start_time);
}

absl::Status EntryMissing(const TrustDomain& trust_domain, const EntryAdvice& advice, uint32_t uid) {
  if (const std::string fault = OverflowIds::OfKernel().UidFault(uid); !fault.empty()) {
    return WithReason(absl::PermissionDeniedError(absl::StrCat("no registration entry fits: ", fault)),
                      "UNIX_PEER_UNMAPPED");
  }
  return WithReason(
      absl::PermissionDeniedError(absl::StrCat("no registration entry fits uid ", uid, "; ",
                                               advice.Say("make one", AnyId(trust_domain), UidSelector(uid)))),
      "ENTRY_MISSING");
}

absl::Status NameWantedId(const absl::Status& refusal, const TrustDomain& trust_domain, const SpiffeId& wanted) {
  if (!absl::IsPermissionDenied(refusal) || wanted.IsReserved()) return refusal;
  // With the space: the ID ends there.
  const std::string open = absl::StrCat(AnyId(trust_domain), " ");
  if (!absl::StrContains(refusal.message(), open)) return refusal;
  return WithReason(
      absl::PermissionDeniedError(absl::StrReplaceAll(refusal.message(), {{open, absl::StrCat(wanted.uri(), " ")}})),
      ReasonOf(refusal));
}

UnixPeerAuthenticator::UnixPeerAuthenticator(TrustDomain trust_domain, const EntryCache& entries, EntryAdvice advice,
                                             const ProcessTable& processes, const NameService& names)
    : trust_domain_(std::move(trust_domain)),
      entries_(entries),
      advice_(std::move(advice)),
      processes_(processes),
      names_(names),
      pool_({.what = "callers of the Unix socket"}) {}

void UnixPeerAuthenticator::Authenticate(Credentials credentials, absl::Time now, Done done) {
  const UnixPeer peer = *credentials.unix_peer;
  ProcessFacts process(peer, processes_, names_, ProcessFacts::Reading::kMemory);
  absl::StatusOr<CallerIdentity> caller = Judge(peer, process);
  if (!process.needs_more()) {
    std::move(done)(std::move(caller));
    return;
  }
  absl::StatusOr<FairPool::Place> place = pool_.Admit(credentials.source);
  if (!place.ok()) {
    std::move(done)(place.status());
    return;
  }
  pool_.Submit(*std::move(place),
               [this, peer, abandoned = std::move(credentials.abandoned), done = std::move(done)]() mutable {
                 if (abandoned && abandoned()) {
                   std::move(done)(absl::CancelledError("the caller went away before its turn came"));
                   return;
                 }
                 std::move(done)(Judge(peer));
               });
}

absl::StatusOr<CallerIdentity> UnixPeerAuthenticator::Judge(const UnixPeer& peer) const {
  ProcessFacts process(peer, processes_, names_, ProcessFacts::Reading::kAnything);
  return Judge(peer, process);
}

absl::StatusOr<CallerIdentity> UnixPeerAuthenticator::Judge(const UnixPeer& peer, ProcessFacts& process) const {
  const std::shared_ptr<const EntrySnapshot> snapshot = entries_.Current();
  std::vector<const RegistrationEntry*> entries = snapshot->Match(process);
  const auto first_of_agents = std::stable_partition(
      entries.begin(), entries.end(), [](const RegistrationEntry* entry) { return !entry->ServedByAgents(); });
  const RegistrationEntry* const of_agents = first_of_agents == entries.end() ? nullptr : *first_of_agents;
  entries.erase(first_of_agents, entries.end());

  if (entries.empty()) {
    absl::Status missing =
        of_agents == nullptr ? EntryMissing(trust_domain_, advice_, peer.uid) : ServedByAgents(peer.uid, *of_agents);
    if (process.unknown().ok()) return missing;
    // An entry rests on what could not be learned: the reader should know why before making another.
    return WithReason(absl::PermissionDeniedError(absl::StrCat(
                          missing.message(), " (the entries that ask for more than a uid could not be judged: ",
                          process.unknown().message(), ")")),
                      absl::IsNotFound(process.unknown()) ? "UNIX_PEER_GONE" : ReasonOf(missing));
  }

  CallerIdentity caller;
  caller.method = AuthMethod::kUnixPeer;
  caller.subject = absl::StrCat("uid ", peer.uid);
  caller.instance = UnixInstance(peer);
  for (const RegistrationEntry* entry : entries) AddEntry(*entry, caller);
  return caller;
}

}  // namespace meshca
