// The doctor's part that runs inside the server: every line is found out when asked.
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ca/authn/check_issuers.h"
#include "ca/authn/entry_rules.h"
#include "ca/authority/renewal_plan.h"
#include "ca/base/checked_fact.h"
#include "ca/base/secret_access.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/issuance/legacy_rights.h"
#include "ca/service/admin_methods.h"
#include "ca/service/check_legacy_rights.h"
#include "ca/service/proto_time.h"

namespace meshca::admin_methods {
namespace {

using State = CheckedFact::State;

// Less free space than this is worth a word: SQLite's log and a checkpoint need room at the same time.
constexpr uint64_t kFreeBytesMin = 256ull << 20;
// Entries that fit nobody, named one by one; the rest is counted.
constexpr size_t kUnfitShownMax = 20;

CheckedFact Ok(std::string name, std::string detail) { return {std::move(name), State::kOk, std::move(detail), ""}; }

// An authority's certificate: valid now, and not about to end.
CheckedFact CheckValidity(std::string name, AuthorityRole role, const Certificate& certificate, absl::Time now,
                          std::string mend) {
  const Validity& validity = certificate.validity();
  const std::string until = absl::StrCat(certificate.subject(), ", until ", UtcText(validity.not_after));
  if (now < validity.not_before) {
    return {std::move(name), State::kFailed, absl::StrCat(until, "; not valid before ", UtcText(validity.not_before)),
            "set the clock of this host (timedatectl set-ntp true)"};
  }
  if (!validity.Contains(now)) return {std::move(name), State::kFailed, absl::StrCat("expired: ", until), mend};
  if (EndsSoon(role, validity, now)) {
    return {std::move(name), State::kWarning, absl::StrCat(until, ": soon"), std::move(mend)};
  }
  return Ok(std::move(name), until);
}

CheckedFact CheckClock(const AdminContext& context) {
  const std::string finding = context.clock_finding ? context.clock_finding() : "";
  if (finding.empty()) return Ok("clock", UtcText(context.clock.Now()));
  return {"clock", State::kFailed, finding, "set the clock right, or: meshca check --accept-clock"};
}

void CheckAuthorities(const AdminContext& context, absl::Time now, std::vector<CheckedFact>& facts) {
  // First: where nothing can be signed, this is why.
  const std::string error = context.authority_error ? context.authority_error() : "";
  if (!error.empty()) {
    facts.push_back({"authority renewal", State::kFailed, error, "mend what it names; meshca tries again by itself"});
  }
  const auto snapshot = context.authorities.Current();
  if (snapshot == nullptr) {
    facts.push_back({"issuing authority", State::kFailed, "the CA has not started", "read the server's log"});
    return;
  }
  // The active root is the first of the bundle, whether anything can sign or not.
  facts.push_back(CheckValidity("root", AuthorityRole::kRoot, snapshot->bundle->roots.front(), now,
                                "replace it: meshca root rotate"));
  if (snapshot->issuing != nullptr) {
    // It renews itself long before this.
    facts.push_back(CheckValidity("issuing authority", AuthorityRole::kIssuing, snapshot->issuing->certificate, now,
                                  "its renewal is late: read the server's log"));
  } else {
    facts.push_back({"issuing authority", State::kFailed, "none can sign now; what was issued and is trusted goes on",
                     "mend the clock or the root, as the facts beside this one say; `meshca root show` lists the "
                     "authorities"});
  }
}

void CheckJwtKeys(const AdminContext& context, std::vector<CheckedFact>& facts) {
  constexpr char kName[] = "keys of JWT-SVIDs";
  if (context.jwt_keys == nullptr) return;
  const JwtKeysReport report = context.jwt_keys->Report();
  if (report.signing_key_id.empty()) {
    facts.push_back({kName, State::kFailed, absl::StrCat("no JWT-SVID can be signed: ", report.why_not_signing),
                     "mend the facts above; meshca tries again by itself"});
  } else if (!report.error.empty()) {
    facts.push_back({kName, State::kWarning, absl::StrCat("their rotation does not go on: ", report.error),
                     "mend what it names; meshca tries again by itself"});
  } else if (report.evidence.subscribers_behind > 0) {
    facts.push_back({kName, State::kWarning, report.waiting_for, "meshca jwt keys"});
  } else {
    facts.push_back(
        Ok(kName, absl::StrCat(report.signing_key_id, " signs",
                               report.next_rotation == absl::InfiniteFuture()
                                   ? ""
                                   : absl::StrCat(", its successor comes ", UtcText(report.next_rotation)))));
  }
}

// Which certificates may renew though nothing is known of them; nothing to say where each needs its record.
void CheckUnrecorded(const AdminContext& context, std::vector<CheckedFact>& facts) {
  const auto snapshot = context.authorities.Current();
  if (snapshot == nullptr || !snapshot->unrecorded.has_value()) return;
  const UnrecordedGrace& grace = *snapshot->unrecorded;
  std::string authorities;
  for (const std::string& id : grace.authority_ids) {
    absl::StrAppend(&authorities, authorities.empty() ? "" : ", ", id.substr(0, 16));
  }
  facts.push_back({"renewal without a record", State::kWarning,
                   absl::StrCat("until ", UtcText(grace.until), " certificates signed by ", authorities,
                                " may renew though this CA has no record of them (", grace.why, ")"),
                   "nothing to do: it ends by itself; if such a key may be stolen: meshca root taint ID"});
}

void CheckStateDir(const AdminContext& context, std::vector<CheckedFact>& facts) {
  const std::string& path = context.facts.state_dir;
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) {
    facts.push_back({"state directory", State::kFailed, std::string(ErrnoStatus(errno, path).message()),
                     absl::StrCat("restore ", path, " or start with another --state-dir")});
    return;
  }
  if (const absl::Status access = CheckAccess(path, info); !access.ok()) {
    facts.push_back({"state directory", State::kFailed, std::string(access.message()),
                     absl::StrCat("chmod 700 ", path, ", or restart meshca, which sets its own folder back")});
  } else {
    facts.push_back(Ok("state directory", absl::StrFormat("%s, mode %04o", path, info.st_mode & 07777)));
  }
  struct statvfs space = {};
  if (::statvfs(path.c_str(), &space) != 0) return;
  const uint64_t free_bytes = static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
  const std::string detail = absl::StrCat(free_bytes >> 20, " MiB free under ", path);
  if (free_bytes >= kFreeBytesMin) {
    facts.push_back(Ok("disk space", detail));
  } else {
    facts.push_back({"disk space", State::kWarning, detail, absl::StrCat("make room on the volume of ", path)});
  }
}

void CheckStore(const AdminContext& context, std::vector<CheckedFact>& facts) {
  // Really written and synced, whatever the last batch said.
  const absl::Status probed = context.maintenance.Probe();
  const StoreHealth health = context.maintenance.Health();
  if (!probed.ok()) {
    facts.push_back({"database writes", State::kFailed, std::string(probed.message()),
                     "free or mend the volume; issuance resumes by itself"});
  } else {
    facts.push_back(Ok("database writes", absl::StrCat(health.records, " records in ", health.batches,
                                                       " commits since start, ", health.database_bytes >> 10, " KiB")));
  }
}

void CheckEntries(const AdminContext& context, std::vector<CheckedFact>& facts) {
  constexpr char kName[] = "registration entries";
  const auto entries = context.entries.ListEntries();
  if (!entries.ok()) {
    facts.push_back({kName, State::kFailed, std::string(entries.status().message()), "meshca db check"});
    return;
  }
  size_t unfit = 0;
  for (const RegistrationEntry& entry : *entries) {
    const std::string why = WhyFitsNobody(entry);
    if (why.empty() || unfit++ >= kUnfitShownMax) continue;
    facts.push_back(
        {kName, State::kWarning, absl::StrCat(entry.id, " (", entry.spiffe_id.uri(), ") fits nobody: ", why),
         absl::StrCat("meshca entry delete ", entry.id, ", and make one with a uid of the workload's own")});
  }
  if (unfit > kUnfitShownMax) {
    facts.push_back(
        {kName, State::kWarning, absl::StrCat(unfit - kUnfitShownMax, " more fit nobody"), "meshca entry list"});
  }
  facts.push_back(
      Ok(kName, absl::StrCat(entries->size(),
                             entries->empty() ? "; a workload on the API socket needs one: meshca entry create" : "")));
}

void CheckLegacyRights(const AdminContext& context, std::vector<CheckedFact>& facts) {
  const absl::StatusOr<LegacyRights> rights = FindLegacyRights(context.issuances, context.entries, context.clock.Now());
  if (!rights.ok()) {
    facts.push_back({"API socket rights", State::kFailed, std::string(rights.status().message()), "meshca db check"});
    return;
  }
  for (CheckedFact& fact : LegacyRightsFacts(*rights)) facts.push_back(std::move(fact));
}

void CheckSubscribers(const AdminContext& context, std::vector<CheckedFact>& facts) {
  const auto subscribers = context.subscribers.List();
  if (!subscribers.ok()) {
    facts.push_back({"subscribers", State::kFailed, std::string(subscribers.status().message()), "meshca db check"});
    return;
  }
  const auto snapshot = context.authorities.Current();
  const uint64_t newest = snapshot && snapshot->bundle ? snapshot->bundle->sequence_number : 0;
  size_t connected = 0, behind = 0;
  std::string rejected;
  for (const SubscriberRecord& subscriber : *subscribers) {
    if (!subscriber.connected) continue;
    ++connected;
    if (subscriber.trust_version != 0 && subscriber.trust_version < newest) ++behind;
    if (!subscriber.rejected.empty()) {
      rejected =
          absl::StrCat(subscriber.spiffe_id, " (", subscriber.peer, ") rejected a secret: ", subscriber.rejected);
    }
  }
  if (!rejected.empty()) {
    facts.push_back({"subscribers", State::kWarning, rejected, "meshca subscriber list"});
  } else if (behind > 0) {
    facts.push_back({"subscribers", State::kWarning,
                     absl::StrCat(behind, " of ", connected, " have not acknowledged bundle ", newest),
                     "meshca subscriber list"});
  } else {
    facts.push_back(Ok("subscribers", absl::StrCat(connected, " connected, ", subscribers->size(), " known")));
  }
}

absl::string_view StateName(State state) {
  switch (state) {
    case State::kOk: return "ok";
    case State::kWarning: return "warning";
    case State::kFailed: return "failed";
  }
  return "failed";
}

}  // namespace

absl::StatusOr<v1::AcceptClockResponse> AcceptClock(const AdminContext& context, const std::string& actor,
                                                    const v1::AcceptClockRequest& request) {
  if (!context.accept_clock) return absl::UnimplementedError("this server does not watch its clock");
  v1::AcceptClockResponse response;
  response.set_finding(context.clock_finding());
  MESHCA_RETURN_IF_ERROR(context.accept_clock(actor));
  SetTime(context.clock.Now(), [&] { return response.mutable_now(); });
  return response;
}

absl::StatusOr<v1::CheckResponse> Check(const AdminContext& context, const std::string& actor,
                                        const v1::CheckRequest& request) {
  std::vector<CheckedFact> facts;
  facts.push_back(CheckClock(context));
  CheckAuthorities(context, context.clock.Now(), facts);
  CheckJwtKeys(context, facts);
  CheckUnrecorded(context, facts);
  if (context.token_issuers) CheckTokenIssuers(context.token_issuers(), facts);
  CheckStateDir(context, facts);
  CheckStore(context, facts);
  CheckEntries(context, facts);
  CheckLegacyRights(context, facts);
  CheckSubscribers(context, facts);
  if (context.cluster_facts) {
    for (CheckedFact& fact : context.cluster_facts()) facts.push_back(std::move(fact));
  }
  const absl::Status ready = context.readiness ? context.readiness() : absl::OkStatus();
  facts.push_back(ready.ok() ? Ok("readiness", "signs and commits")
                             : CheckedFact{"readiness", State::kFailed, std::string(ready.message()),
                                           "mend the facts above; it recovers by itself"});
  v1::CheckResponse response;
  for (const CheckedFact& fact : facts) {
    v1::Fact* message = response.add_facts();
    message->set_name(fact.name);
    message->set_state(std::string(StateName(fact.state)));
    message->set_detail(fact.detail);
    message->set_mend(fact.mend);
  }
  return response;
}

}  // namespace meshca::admin_methods
