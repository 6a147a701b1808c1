// Registration entries: which processes may hold which identity.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/authn/overflow_ids.h"
#include "ca/authn/selector.h"
#include "ca/base/status.h"
#include "ca/issuance/issuance_request.h"
#include "ca/service/admin_methods.h"
#include "ca/service/proto_time.h"
#include "ca/x509/digest.h"
#include "ca/x509/encoding.h"

namespace meshca::admin_methods {
namespace {

constexpr size_t kIdBytesMax = 64;

v1::Entry Message(const RegistrationEntry& entry) {
  v1::Entry message;
  message.set_id(entry.id);
  message.set_spiffe_id(entry.spiffe_id.uri());
  for (const std::string& selector : entry.selectors) message.add_selectors(selector);
  SetDuration(entry.ttl, message.mutable_ttl());
  for (const std::string& name : entry.dns_names) message.add_dns_names(name);
  SetTime(entry.created_at, [&] { return message.mutable_created_at(); });
  message.set_created_by(entry.created_by);
  return message;
}

absl::Status CheckId(const std::string& id) {
  const auto allowed = [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.'; };
  if (id.size() <= kIdBytesMax && std::all_of(id.begin(), id.end(), allowed)) return absl::OkStatus();
  return WithReason(absl::InvalidArgumentError("id must be 1-64 letters, digits, '-', '_' or '.'"), "ENTRY_ID");
}

// The same entry gets the same id wherever it is applied, so a file without ids may be applied again and again.
std::string DerivedId(const RegistrationEntry& entry) {
  const std::string key = absl::StrCat(entry.spiffe_id.uri(), "\n", absl::StrJoin(entry.selectors, "\n"));
  return HexLower(absl::string_view(Sha256(key)).substr(0, 8));
}

absl::StatusOr<RegistrationEntry> Read(const AdminContext& context, const std::string& actor,
                                       const v1::Entry& message) {
  RegistrationEntry entry;
  MESHCA_ASSIGN_OR_RETURN(entry.spiffe_id, SpiffeId::Parse(message.spiffe_id()));
  if (!entry.spiffe_id.MemberOf(context.facts.trust_domain) || !entry.spiffe_id.has_path()) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat("SPIFFE ID ", entry.spiffe_id.uri(),
                                                              " is no workload's ID of trust domain ",
                                                              context.facts.trust_domain.name())),
                      "SPIFFE_ID_TRUST_DOMAIN");
  }
  MESHCA_ASSIGN_OR_RETURN(entry.selectors,
                          NormaliseSelectors({message.selectors().begin(), message.selectors().end()}));
  for (const std::string& text : entry.selectors) {
    MESHCA_ASSIGN_OR_RETURN(const Selector selector, Selector::Parse(text));
    const std::string fault = OverflowIds::OfKernel().Fault(selector);
    if (fault.empty()) continue;
    return WithReason(absl::InvalidArgumentError(absl::StrCat("selector \"", text, "\": ", fault)), "SELECTOR_NOBODY");
  }
  for (const std::string& name : message.dns_names()) {
    MESHCA_RETURN_IF_ERROR(CheckDnsName(name));
    entry.dns_names.push_back(absl::AsciiStrToLower(name));  // as requests are compared
  }
  entry.ttl = ToDuration(message.ttl());
  if (entry.ttl < absl::ZeroDuration()) return absl::InvalidArgumentError("ttl is negative");
  MESHCA_RETURN_IF_ERROR(CheckId(message.id()));
  entry.id = message.id().empty() ? DerivedId(entry) : message.id();
  entry.created_at = context.clock.Now();
  entry.created_by = actor;
  return entry;
}

bool SameRights(const RegistrationEntry& a, const RegistrationEntry& b) {
  return a.spiffe_id == b.spiffe_id && a.selectors == b.selectors && a.ttl == b.ttl && a.dns_names == b.dns_names;
}

AuditEntry Audit(const AdminContext& context, const std::string& actor, absl::string_view action,
                 const RegistrationEntry& entry) {
  AuditEntry audit;
  audit.time = context.clock.Now();
  audit.actor = actor;
  audit.action = std::string(action);
  audit.target = entry.id;
  audit.detail = absl::StrCat(entry.spiffe_id.uri(), " for ", absl::StrJoin(entry.selectors, " and "));
  return audit;
}

absl::Status TellOthers(const AdminContext& context) {
  return context.entries_changed ? context.entries_changed() : absl::OkStatus();
}

const RegistrationEntry* Find(const std::vector<RegistrationEntry>& entries, absl::string_view id) {
  for (const RegistrationEntry& entry : entries) {
    if (entry.id == id) return &entry;
  }
  return nullptr;
}

absl::Status NoSuchEntry(const std::string& id) {
  return absl::NotFoundError(absl::StrCat("no entry \"", id, "\"; `meshca entry list` shows their ids"));
}

// What an apply comes down to, judged whole before anything is written.
struct Plan {
  std::vector<RegistrationEntry> put;
  std::vector<RegistrationEntry> remove;
  v1::ApplyEntriesResponse response;
};

absl::StatusOr<Plan> PlanApply(const AdminContext& context, const std::string& actor,
                               const v1::ApplyEntriesRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<RegistrationEntry> present, context.entries.ListEntries());
  absl::flat_hash_map<std::string, const RegistrationEntry*> by_id, by_rights;
  for (const RegistrationEntry& entry : present) {
    by_id[entry.id] = &entry;
    by_rights[DerivedId(entry)] = &entry;
  }
  Plan plan;
  absl::flat_hash_set<std::string> given;
  for (int i = 0; i < request.entries_size(); ++i) {
    absl::StatusOr<RegistrationEntry> read = Read(context, actor, request.entries(i));
    if (!read.ok()) return Annotate(read.status(), absl::StrCat("entries[", i, "]"));
    RegistrationEntry entry = *std::move(read);
    const auto same = by_rights.find(DerivedId(entry));
    if (request.entries(i).id().empty() && same != by_rights.end()) entry.id = same->second->id;
    if (!given.insert(entry.id).second) {
      return absl::InvalidArgumentError(absl::StrCat("entries[", i, "]: a second entry with id \"", entry.id, "\""));
    }
    const auto old = by_id.find(entry.id);
    if (old == by_id.end()) {
      plan.response.add_created(entry.id);
    } else if (SameRights(*old->second, entry)) {
      plan.response.add_unchanged(entry.id);
      continue;
    } else {
      plan.response.add_replaced(entry.id);
    }
    plan.put.push_back(std::move(entry));
  }
  for (const RegistrationEntry& entry : present) {
    if (!request.prune() || given.contains(entry.id)) continue;
    plan.response.add_deleted(entry.id);
    plan.remove.push_back(entry);
  }
  return plan;
}

}  // namespace

absl::StatusOr<v1::Entry> CreateEntry(const AdminContext& context, const std::string& actor,
                                      const v1::CreateEntryRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const RegistrationEntry entry, Read(context, actor, request.entry()));
  MESHCA_RETURN_IF_ERROR(context.entries.CreateEntry(entry, Audit(context, actor, "entry.create", entry)));
  MESHCA_RETURN_IF_ERROR(TellOthers(context));
  return Message(entry);
}

absl::StatusOr<v1::ApplyEntriesResponse> ApplyEntries(const AdminContext& context, const std::string& actor,
                                                      const v1::ApplyEntriesRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(Plan plan, PlanApply(context, actor, request));
  if (request.dry_run()) return std::move(plan.response);
  absl::Status status;
  // Deletions first: a replaced entry may take over the rights of one that goes.
  for (const RegistrationEntry& entry : plan.remove) {
    if (status.ok()) status = context.entries.DeleteEntry(entry.id, Audit(context, actor, "entry.delete", entry));
  }
  for (const RegistrationEntry& entry : plan.put) {
    if (status.ok()) status = context.entries.PutEntry(entry, Audit(context, actor, "entry.apply", entry));
  }
  // What was written before an error holds, so the others hear of it either way.
  const absl::Status told = TellOthers(context);
  MESHCA_RETURN_IF_ERROR(status);
  MESHCA_RETURN_IF_ERROR(told);
  return std::move(plan.response);
}

absl::StatusOr<v1::ListEntriesResponse> ListEntries(const AdminContext& context, const std::string& actor,
                                                    const v1::ListEntriesRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<RegistrationEntry> entries, context.entries.ListEntries());
  v1::ListEntriesResponse response;
  for (const RegistrationEntry& entry : entries) *response.add_entries() = Message(entry);
  return response;
}

absl::StatusOr<v1::Entry> GetEntry(const AdminContext& context, const std::string& actor,
                                   const v1::GetEntryRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<RegistrationEntry> entries, context.entries.ListEntries());
  const RegistrationEntry* entry = Find(entries, request.id());
  if (entry == nullptr) return NoSuchEntry(request.id());
  return Message(*entry);
}

absl::StatusOr<v1::DeleteEntryResponse> DeleteEntry(const AdminContext& context, const std::string& actor,
                                                    const v1::DeleteEntryRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<RegistrationEntry> entries, context.entries.ListEntries());
  const RegistrationEntry* entry = Find(entries, request.id());
  if (entry == nullptr) {
    // An earlier call may have deleted it and then failed to tell the others.
    MESHCA_RETURN_IF_ERROR(TellOthers(context));
    return NoSuchEntry(request.id());
  }
  MESHCA_RETURN_IF_ERROR(context.entries.DeleteEntry(entry->id, Audit(context, actor, "entry.delete", *entry)));
  MESHCA_RETURN_IF_ERROR(TellOthers(context));
  return v1::DeleteEntryResponse();
}

}  // namespace meshca::admin_methods
