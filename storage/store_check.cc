#include "storage/store_check.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/status.h"
#include "storage/audit_chain.h"
#include "storage/node_rules.h"
#include "storage/restore_advice.h"
#include "storage/setting_rules.h"
#include "storage/stored_entries.h"
#include "storage/token_rules.h"
#include "storage/trust_rules.h"

namespace meshca::storage {
namespace {

using Findings = std::vector<std::string>;

void AddFinding(const absl::Status& status, Findings& findings) {
  if (!status.ok()) findings.emplace_back(status.message());
}

void CheckAuditChain(Tables& tables, Findings& findings) {
  std::string hash;
  uint64_t sequence = 0;
  const absl::Status visited = tables.audit.Visit([&](const AuditEntry& entry) {
    const bool follows = AuditEntryFollows(hash, sequence, entry);
    if (!follows) {
      findings.push_back(absl::StrCat("audit log: entry ", entry.sequence, " does not follow entry ", sequence));
    }
    hash = entry.hash;
    sequence = entry.sequence;
    return follows;
  });
  AddFinding(visited, findings);
}

}  // namespace

absl::Status CheckStored(Tables& tables, const KeyEncryption& keys) {
  Findings findings;
  tables.consistency.CheckStructure(findings);
  AddFinding(LoadTrust(tables, keys).status(), findings);
  AddFinding(VerifyBundles(tables, keys), findings);
  AddFinding(VerifyRotations(tables, keys), findings);
  AddFinding(VerifySealedSettings(tables, keys), findings);
  AddFinding(ListTokens(tables, keys).status(), findings);
  AddFinding(ListEntries(tables, keys).status(), findings);
  AddFinding(ListNodes(tables, keys).status(), findings);
  CheckAuditChain(tables, findings);
  tables.consistency.CheckIssuances(findings);
  if (findings.empty()) return absl::OkStatus();
  // A disk that does not answer is no proof of damage.
  absl::Status fault = tables.consistency.fault();
  if (absl::IsUnavailable(fault)) return fault;
  std::string text = absl::StrCat(tables.consistency.name(), ": ", absl::StrJoin(findings, "; "));
  if (text.find(RestoreAdvice().data()) == std::string::npos) absl::StrAppend(&text, "; ", RestoreAdvice());
  return absl::DataLossError(text);
}

}  // namespace meshca::storage
