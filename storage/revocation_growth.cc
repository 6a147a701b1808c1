#include "storage/revocation_growth.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "ca/base/status.h"
#include "ca/issuance/certificate_profile.h"
#include "storage/inventory.h"
#include "storage/renewal_rules.h"

namespace meshca::storage {
namespace {

// A line whose first certificate is not on record (pruned long ago, or issued before a restore or an adoption) may have
// more that are not, and nobody knows their ends. No profile of ours allows a leaf to live for longer than this.
int64_t UnknownEndSeconds() { return absl::ToInt64Seconds(CertificateProfile::kLifetimeLimit); }

// Readings of the live certificates that are not revoked, for one plan.
class PlanGrowth {
 public:
  PlanGrowth(Tables& tables, const KeyEncryption& keys, const RevocableQuery& query, RevocationPlan& plan)
      : tables_(tables), inventory_(tables, keys), query_(query), plan_(plan) {}

  absl::Status ReadCandidates() {
    return tables_.revocations.VisitCandidates(
        query_, [this](const RevocableCertificate& certificate, bool line_unknown, bool selected) {
          return OfferCandidate(certificate, line_unknown, selected);
        });
  }

 private:
  absl::Status OfferCandidate(RevocableCertificate certificate, bool line_unknown, bool selected) {
    if (line_unknown) {
      MESHCA_ASSIGN_OR_RETURN(certificate.line, FindOldLine(certificate));
    }
    if (query_.selection == nullptr) {
      MESHCA_ASSIGN_OR_RETURN(selected, IsMate(certificate));
    }
    plan_.Offer(certificate, selected);
    return absl::OkStatus();
  }

  // The lines of old records have to be walked to, once for all readings.
  absl::StatusOr<absl::string_view> FindOldLine(const RevocableCertificate& certificate) {
    auto [line, added] = old_lines_.try_emplace(certificate.number);
    if (!added) return absl::string_view(line->second);
    MESHCA_ASSIGN_OR_RETURN(std::optional<RecordedCertificate> record, inventory_.FindRecorded(certificate.serial));
    if (!record.has_value()) return certificate.line;
    MESHCA_ASSIGN_OR_RETURN(line->second, LineOf(inventory_, *std::move(record)));
    return absl::string_view(line->second);
  }

  // Does it share its line or its key with one that is revoked?
  absl::StatusOr<bool> IsMate(const RevocableCertificate& certificate) {
    MESHCA_ASSIGN_OR_RETURN(const auto line, tables_.revocations.FindLine(certificate.line));
    if (line.has_value()) return true;
    MESHCA_ASSIGN_OR_RETURN(const auto key, tables_.revocations.FindKey(certificate.key_sha256));
    return key.has_value();
  }

  Tables& tables_;
  const Inventory inventory_;
  const RevocableQuery& query_;
  RevocationPlan& plan_;
  absl::flat_hash_map<int64_t, std::string> old_lines_;  // by number
};

}  // namespace

absl::Status GrowPlan(Tables& tables, const KeyEncryption& keys, const RevocableQuery& query, RevocationPlan& plan) {
  PlanGrowth growth(tables, keys, query, plan);
  do {
    MESHCA_RETURN_IF_ERROR(growth.ReadCandidates());
  } while (plan.Growing());
  return absl::OkStatus();
}

absl::Status StageCertificates(Tables& tables, int64_t operation,
                               std::span<const RevocationPlan::Certificate> certificates) {
  for (const RevocationPlan::Certificate& certificate : certificates) {
    const int64_t end = certificate.not_after;
    MESHCA_RETURN_IF_ERROR(tables.revocations.PutCertificate(certificate.serial, end, operation));
    MESHCA_ASSIGN_OR_RETURN(const bool beginning_known, tables.issuances.Has(certificate.line));
    const int64_t line_end = beginning_known ? end : end + UnknownEndSeconds();
    MESHCA_RETURN_IF_ERROR(tables.revocations.PutLine(certificate.line, line_end, operation));
    MESHCA_RETURN_IF_ERROR(tables.revocations.PutKey(certificate.key_sha256, end, operation));
  }
  return absl::OkStatus();
}

}  // namespace meshca::storage
