#include "storage/issuance_appender.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/identity/node_name.h"
#include "storage/audit_log.h"
#include "storage/node_rules.h"
#include "storage/token_rules.h"

namespace meshca::storage {
namespace {

absl::Status NoAgentAsks(const IssuanceRecord& record) {
  return absl::PermissionDeniedError(
      absl::StrCat("agent: no certificate of a node's agent was shown with the request for ", record.spiffe_id.uri()));
}

}  // namespace

void IssuanceAppender::Forget() {
  signers_.clear();
  upheld_.clear();
  agents_.clear();
  any_key_revoked_.reset();
}

absl::StatusOr<Signer> IssuanceAppender::FindSigner(const std::string& authority_id) {
  const auto known = signers_.find(authority_id);
  if (known != signers_.end()) return known->second;
  MESHCA_ASSIGN_OR_RETURN(const std::optional<Signer> found, tables_.trust.FindSigner(authority_id));
  // An unknown authority signs as little as a retired one.
  const Signer signer = found.value_or(Signer());
  signers_.emplace(authority_id, signer);
  return signer;
}

absl::Status IssuanceAppender::CheckEntry(const IssuanceRecord& record) {
  const bool by_agent = record.method == AuthMethod::kAgent;
  if (!by_agent && record.origin.kind != OriginKind::kEntry) return absl::OkStatus();
  // One entry often gives a whole batch: what upheld a certificate upholds each that was issued later.
  const auto [upheld, added] =
      upheld_.try_emplace(absl::StrCat(static_cast<int>(record.origin.kind), " ", record.origin.reference, " ",
                                       record.spiffe_id.uri(), by_agent ? " on " : "", by_agent ? record.node : ""),
                          absl::InfiniteFuture());
  if (!added && upheld->second <= record.issued_at) return absl::OkStatus();
  MESHCA_RETURN_IF_ERROR(by_agent ? CheckEntryForNode(inventory_, record) : CheckFirstRight(inventory_, record));
  upheld->second = record.issued_at;
  return absl::OkStatus();
}

absl::Status IssuanceAppender::CheckKey(const IssuanceRecord& record) {
  if (!any_key_revoked_.has_value()) {
    MESHCA_ASSIGN_OR_RETURN(any_key_revoked_, tables_.revocations.HasAnyKey());
  }
  if (!*any_key_revoked_) return absl::OkStatus();
  MESHCA_ASSIGN_OR_RETURN(const auto revocation, tables_.revocations.FindKey(record.key_sha256));
  return revocation.has_value() ? KeyIsRevoked(*revocation) : absl::OkStatus();
}

absl::StatusOr<InheritedRight> IssuanceAppender::JudgeForAgent(const IssuanceRecord& record) {
  if (!record.presented.has_value()) return NoAgentAsks(record);
  const PresentedCertificate& shown = *record.presented;
  const std::string key = absl::StrCat(shown.serial, " ", shown.sha256, " ", shown.spiffe_id.uri());
  auto agent = agents_.find(key);
  if (agent == agents_.end()) {
    MESHCA_ASSIGN_OR_RETURN(InheritedRight right, JudgeRenewal(inventory_, shown, nullptr));
    if (!right.agent_of.has_value()) return NoAgentAsks(record);
    agent = agents_.emplace(key, *std::move(right.agent_of)).first;
  }
  MESHCA_ASSIGN_OR_RETURN(InheritedRight right, JudgeAgentRequest(inventory_, record, agent->second));
  MESHCA_RETURN_IF_ERROR(CheckEntry(record));
  return right;
}

absl::StatusOr<InheritedRight> IssuanceAppender::JudgeRight(const IssuanceRecord& record) {
  if (record.method == AuthMethod::kAgent) return JudgeForAgent(record);
  if (record.method == AuthMethod::kNodeKey) return JudgeJoinByKey(inventory_, record);
  MESHCA_RETURN_IF_ERROR(CheckWayToAgentId(record));
  if (record.presented.has_value()) {
    MESHCA_RETURN_IF_ERROR(CheckSameId(record));
    MESHCA_ASSIGN_OR_RETURN(InheritedRight right,
                            JudgeRenewal(inventory_, *record.presented, record.trusted_origins.get()));
    if (right.node.empty()) right.node = record.node;
    return right;
  }
  MESHCA_RETURN_IF_ERROR(CheckEntry(record));
  return JudgeFirst(inventory_, record);
}

absl::Status IssuanceAppender::Insert(const IssuanceRecord& record, const Signer& signer, const InheritedRight& right) {
  absl::Status inserted = tables_.issuances.Insert(
      {record, signer.number, right.origin, right.origin_number, right.line, right.node, right.parent});
  if (!absl::IsAlreadyExists(inserted)) return inserted;
  return absl::AlreadyExistsError(absl::StrCat("issuance: serial number ", record.serial.ToHex(), " is taken"));
}

absl::Status IssuanceAppender::Append(const IssuanceRecord& record) {
  MESHCA_ASSIGN_OR_RETURN(const Signer signer, FindSigner(record.authority_id));
  if (signer.state != AuthorityState::kActive) {
    return absl::AbortedError(
        absl::StrCat("issuance: authority ", record.authority_id, " does not sign any more: sign again"));
  }
  MESHCA_ASSIGN_OR_RETURN(InheritedRight right, JudgeRight(record));
  MESHCA_RETURN_IF_ERROR(CheckKey(record));
  std::optional<Redemption> redemption;
  if (!record.token_id.empty()) {
    MESHCA_ASSIGN_OR_RETURN(redemption, CheckRedemption(tables_, keys_, record));
  }
  if (redemption && IsAgentId(record.spiffe_id)) {
    MESHCA_ASSIGN_OR_RETURN(right.agent_of, JudgeJoin(inventory_, record, *redemption));
    right.node = right.agent_of->node;
    if (right.agent_of->line_serial != record.serial.ToHex()) {
      right.line = SerialBytes(right.agent_of->line_serial).value_or("");
    }
  }
  // The only statement that a record can fail alone, so it comes before those that change anything else: a record that
  // is refused needs no savepoint.
  MESHCA_RETURN_IF_ERROR(Insert(record, signer, right));
  if (redemption && redemption->first) {
    MESHCA_RETURN_IF_ERROR(MarkTokenUsed(tables_, keys_, std::move(redemption->token), record));
  }
  std::optional<AuditEntry> deed;
  if (right.unrecorded) deed = UnrecordedRenewal(record);
  if (record.method == AuthMethod::kNodeKey) deed = JoinedByKey(*right.agent_of, record);
  // JudgeForAgent leaves it empty: here it is the agent's own certificate.
  if (right.agent_of) {
    agents_.clear();
    MESHCA_ASSIGN_OR_RETURN(const NodeRecord node,
                            WithNewestCertificate(inventory_, *std::move(right.agent_of), record));
    MESHCA_RETURN_IF_ERROR(PutNode(tables_, keys_, node));
  }
  return deed.has_value() ? AppendAudit(tables_, *deed) : absl::OkStatus();
}

absl::StatusOr<IssuanceRecord> FindIssuance(Tables& tables, const SerialNumber& serial) {
  MESHCA_ASSIGN_OR_RETURN(std::optional<IssuanceRecord> record, tables.issuances.Find(serial));
  if (record.has_value()) return *std::move(record);
  return absl::NotFoundError(absl::StrCat("issuance: no certificate with serial number ", serial.ToHex()));
}

}  // namespace meshca::storage
