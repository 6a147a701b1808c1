#include "storage/revocation_plan.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/x509/serial_number.h"

namespace meshca::storage {
namespace {

std::vector<std::pair<absl::string_view, const std::string*>> Fields(const RevocationSelection& selection) {
  return {{"serial", &selection.serial},
          {"SPIFFE ID", &selection.spiffe_id_glob},
          {"authority", &selection.authority_id_prefix},
          {"node", &selection.node},
          {"entry", &selection.entry_id}};
}

}  // namespace

void RevocationPlan::Offer(const RevocableCertificate& certificate, bool selected) {
  if (!selected && lines_.count(certificate.line) == 0 && keys_.count(certificate.key_sha256) == 0) return;
  if (!numbers_.insert(certificate.number).second) return;
  certificates_.push_back({std::string(certificate.serial), std::string(certificate.line),
                           std::string(certificate.key_sha256), certificate.not_after});
  lines_.emplace(certificate.line);
  keys_.emplace(certificate.key_sha256);
  grown_ = true;
}

bool RevocationPlan::Growing() { return std::exchange(grown_, false); }

absl::Status CheckSelection(const RevocationSelection& selection) {
  const auto fields = Fields(selection);
  const auto given =
      std::count_if(fields.begin(), fields.end(), [](const auto& field) { return !field.second->empty(); });
  if (given != 1) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat(
                          "revocation: ", given == 0 ? "nothing says" : "more than one condition says",
                          " which certificates: give exactly one of a serial number, --id, --issuer, --node, --entry")),
                      "REVOCATION_SELECTION");
  }
  if (selection.serial.empty()) return absl::OkStatus();
  return Annotate(SerialNumber::FromHex(selection.serial).status(), "revocation");
}

std::string SelectionText(const RevocationSelection& selection) {
  for (const auto& [name, value] : Fields(selection)) {
    if (!value->empty()) return absl::StrCat(name, " ", *value);
  }
  return "";
}

absl::Status NothingToRevoke(const RevocationSelection& selection) {
  return absl::NotFoundError(absl::StrCat("revocation: no live certificate that is not revoked yet has ",
                                          SelectionText(selection), " (meshca cert list, meshca cert list --revoked)"));
}

AuditEntry RevocationAudit(const AuditEntry& audit, const RevocationSelection& selection, RevocationReason reason,
                           uint64_t certificates, uint64_t lines) {
  AuditEntry entry = audit;
  if (entry.target.empty()) entry.target = SelectionText(selection);
  absl::StrAppend(&entry.detail, entry.detail.empty() ? "" : "; ", "by ", SelectionText(selection), ": ", certificates,
                  " certificates of ", lines, " lines of renewals, ", RevocationReasonName(reason));
  return entry;
}

}  // namespace meshca::storage
