#include "storage/renewal_rules.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/identity/entry_advice.h"
#include "ca/identity/join_token_terms.h"
#include "ca/identity/node_name.h"
#include "ca/identity/pod_origin.h"
#include "ca/issuance/revocation_store.h"
#include "ca/x509/encoding.h"
#include "storage/issuance_appender.h"
#include "storage/node_rules.h"
#include "storage/store.h"

namespace meshca::storage {
namespace {

// How far back the first certificate of an old line is looked for. A line that is renewed every ten minutes gets there
// within a month, and the rows of a month are what a store keeps; each step is one lookup by serial number.
constexpr int kStepsMax = 5000;

constexpr size_t kSerialBytesMax = 20;  // RFC 5280 §4.1.2.2

std::string JoinAgain(const SpiffeId& spiffe_id) {
  return absl::StrCat("join again with a token: ", NewTokenCommand(spiffe_id));
}

absl::Status OriginGone(const PresentedCertificate& shown, absl::string_view what, absl::string_view next) {
  return WithReason(absl::PermissionDeniedError(absl::StrCat("client certificate ", shown.serial, " of ",
                                                             shown.spiffe_id.uri(), ": ", what, "; ", next)),
                    kCertificateOriginGone);
}

// Records of versions that kept no origin say how the caller proved itself, and that says what the right was.
Origin OriginOfOldRecord(const RecordedCertificate& record) {
  switch (record.method) {
    case AuthMethod::kJoinToken: return {OriginKind::kJoinToken, record.token_id};
    case AuthMethod::kUnixPeer: return {OriginKind::kEntry, ""};
    case AuthMethod::kServerUser:
      return record.caller == "meshca" ? Origin{OriginKind::kPublished, "meshca"}
                                       : Origin{OriginKind::kOperator, record.caller};
    case AuthMethod::kJwt: {
      // "jwt ISSUER sub=SUBJECT". An issuer is a URL, so it holds no space; a subject may.
      constexpr absl::string_view kBefore = "jwt ";
      absl::string_view rest = record.caller;
      if (rest.substr(0, kBefore.size()) != kBefore) return {};
      rest.remove_prefix(kBefore.size());
      return {OriginKind::kJwtIssuer, std::string(rest.substr(0, rest.find(" sub=")))};
    }
    case AuthMethod::kAgent:
    case AuthMethod::kNodeKey:
    case AuthMethod::kServiceAccount:
    case AuthMethod::kPodCertificate:
    case AuthMethod::kSigningRequest:
    case AuthMethod::kClientCertificate: break;
  }
  return {};
}

std::string NamedLine(const RecordedCertificate& record) { return record.line.empty() ? record.serial : record.line; }

// Walks the parents of an old record to the first one, or to the first that knows its line.
absl::StatusOr<InheritedRight> RightOf(const Inventory& inventory, RecordedCertificate record) {
  for (int step = 0; step < kStepsMax; ++step) {
    // A record that names its line has its origin from where that began, known or not.
    if (record.origin.kind != OriginKind::kUnknown || !record.line.empty()) {
      std::string line = NamedLine(record);
      return InheritedRight{std::move(record.origin), record.origin_number, std::move(line)};
    }
    // Whoever proved itself by something else than a certificate got a right of its own then.
    if (record.method != AuthMethod::kClientCertificate || record.parent.empty()) {
      return InheritedRight{OriginOfOldRecord(record), 0, record.serial};
    }
    MESHCA_ASSIGN_OR_RETURN(std::optional<RecordedCertificate> parent, inventory.FindRecorded(record.parent));
    // Pruned, or never here. Its serial number names the line all the same. A parent that came later than its child is
    // the work of somebody who wrote the file; it ends the walk, which could go in circles otherwise.
    if (!parent.has_value() || parent->number >= record.number) return InheritedRight{{}, 0, record.parent};
    record = *std::move(parent);
  }
  return InheritedRight{{}, 0, record.serial};
}

absl::Status CheckPod(const Origin& origin, absl::Time issued_at, const PresentedCertificate& shown,
                      const TrustedOrigins* trusted_origins) {
  if (trusted_origins == nullptr) return absl::OkStatus();
  constexpr absl::string_view kNext = "ask with the service account token of a pod that lives";
  const std::optional<PodOrigin> pod = PodOrigin::From(origin);
  if (!pod.has_value()) return OriginGone(shown, "its record does not say which pod gave it the right", kNext);
  if (trusted_origins->pods == nullptr) {
    return OriginGone(shown, "its right came from a pod, and no Kubernetes cluster is configured any more", kNext);
  }
  const absl::Status there = trusted_origins->pods->CheckPodOrigin(*pod, issued_at);
  if (absl::IsPermissionDenied(there)) return OriginGone(shown, there.message(), kNext);
  return there.ok() ? there : Annotate(there, absl::StrCat("client certificate ", shown.serial));
}

// `record` is of the certificate `shown`, and `origin` what gave its line the right.
absl::Status CheckOrigin(const Inventory& inventory, const Origin& origin, const RecordedCertificate& record,
                         const PresentedCertificate& shown, const TrustedOrigins* trusted_origins) {
  switch (origin.kind) {
    case OriginKind::kEntry: {
      MESHCA_ASSIGN_OR_RETURN(const std::optional<RegistrationEntry> entry,
                              inventory.FindEntry(origin.reference, shown.spiffe_id, record.issued_at));
      if (entry.has_value() && entry->IsFor(record.node)) {
        return CheckNodeOfWorkload(inventory, record);
      }
      if (entry.has_value() && !entry->ServedByAgents()) return absl::OkStatus();
      const std::string next =
          absl::StrCat("ask for a certificate on the API socket once there is another; ",
                       EntryAdvice{record.node}.Say("make one", shown.spiffe_id.uri(), kAnySelector));
      if (origin.reference.empty())
        return OriginGone(shown, "no registration entry gives this identity any more", next);
      return OriginGone(
          shown, absl::StrCat("its registration entry ", origin.reference, " is gone, or was replaced since"), next);
    }
    case OriginKind::kJwtIssuer: {
      if (trusted_origins == nullptr) return absl::OkStatus();
      const std::vector<std::string>& issuers = trusted_origins->jwt_issuers;
      const auto known = std::find(issuers.begin(), issuers.end(), origin.reference);
      if (known != issuers.end()) return absl::OkStatus();
      return OriginGone(
          shown,
          absl::StrCat("its right came from the JWT issuer ", origin.reference, ", which is not configured any more"),
          absl::StrCat("ask with a token of an issuer that is, or ", JoinAgain(shown.spiffe_id)));
    }
    case OriginKind::kPod: return CheckPod(origin, record.issued_at, shown, trusted_origins);
    // Its key lies where others may read it, and meshca replaces it by itself: whoever shows it has no business here.
    case OriginKind::kPublished:
      return WithReason(
          absl::PermissionDeniedError(absl::StrCat("client certificate ", shown.serial, " of ", shown.spiffe_id.uri(),
                                                   ": meshca publishes it and renews it by itself; nobody else does by "
                                                   "showing it: ask with a credential of your own")),
          kCertificatePublished);
    // A token is spent by its first use, and what an operator gave has nothing behind it that could go away. These end
    // by revocation.
    case OriginKind::kJoinToken:
    case OriginKind::kOperator:
    case OriginKind::kUnknown: break;
  }
  return absl::OkStatus();
}

// Is one of these authorities, or the root above one of them, tainted or retired? Ids that are unknown here are not.
absl::StatusOr<bool> AnyLost(const Inventory& inventory, const std::vector<std::string>& ids) {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<StoredAuthority> authorities, inventory.ListAuthorities());
  const auto is_lost = [&authorities](const std::string& id) {
    return std::any_of(authorities.begin(), authorities.end(), [&id](const StoredAuthority& authority) {
      return authority.id == id && (authority.tainted || authority.state == AuthorityState::kRetired);
    });
  };
  for (const StoredAuthority& authority : authorities) {
    if (std::find(ids.begin(), ids.end(), authority.id) == ids.end()) continue;
    if (is_lost(authority.id) || is_lost(authority.root_id)) return true;
  }
  return false;
}

absl::StatusOr<InheritedRight> JudgeUnrecorded(const Inventory& inventory, const PresentedCertificate& shown) {
  if (!shown.may_be_unrecorded || shown.spiffe_id.IsReserved()) return CertificateNotRecorded(shown);
  // Judged when the caller was authenticated, and again here: a taint that was committed meanwhile counts.
  MESHCA_ASSIGN_OR_RETURN(const bool lost, AnyLost(inventory, shown.authority_ids));
  if (lost) return CertificateNotRecorded(shown);
  InheritedRight right;
  right.unrecorded = true;
  right.parent = shown.serial;
  right.line = SerialBytes(shown.serial).value_or("");
  MESHCA_ASSIGN_OR_RETURN(const std::optional<Revocation> revoked, inventory.FindRevokedLine(right.line));
  if (revoked.has_value()) return CertificateIsRevoked(shown, *revoked);
  return right;
}

}  // namespace

absl::StatusOr<InheritedRight> JudgeRenewal(const Inventory& inventory, const PresentedCertificate& shown,
                                            const TrustedOrigins* trusted_origins) {
  std::optional<RecordedCertificate> record;
  if (const auto serial = SerialBytes(shown.serial); serial.has_value()) {
    MESHCA_ASSIGN_OR_RETURN(record, inventory.FindRecorded(*serial));
  }
  if (!record.has_value()) return JudgeUnrecorded(inventory, shown);
  if (record->certificate_sha256 != shown.sha256 || record->spiffe_id != shown.spiffe_id.uri()) {
    return CertificateNotRecorded(shown);
  }
  if (record->revocation.has_value()) return CertificateIsRevoked(shown, *record->revocation);
  const std::string line = NamedLine(*record);
  MESHCA_ASSIGN_OR_RETURN(InheritedRight right, RightOf(inventory, *record));
  if (right.line != line) {
    MESHCA_ASSIGN_OR_RETURN(const std::optional<Revocation> revoked, inventory.FindRevokedLine(right.line));
    if (revoked.has_value()) return CertificateIsRevoked(shown, *revoked);
  }
  MESHCA_RETURN_IF_ERROR(CheckOrigin(inventory, right.origin, *record, shown, trusted_origins));
  right.node = std::move(record->node);
  right.parent = HexLower(record->serial);
  if (IsAgentId(shown.spiffe_id)) {
    MESHCA_ASSIGN_OR_RETURN(right.agent_of, JudgeAgentLine(inventory, shown, right.line));
  }
  return right;
}

absl::StatusOr<IssuanceRecord> JudgePresented(Tables& tables, const KeyEncryption& keys,
                                              const PresentedCertificate& shown,
                                              const TrustedOrigins* trusted_origins) {
  MESHCA_ASSIGN_OR_RETURN(InheritedRight right, JudgeRenewal(Inventory(tables, keys), shown, trusted_origins));
  IssuanceRecord record;
  record.spiffe_id = shown.spiffe_id;
  if (right.unrecorded) return record;
  MESHCA_ASSIGN_OR_RETURN(const SerialNumber serial, SerialNumber::FromHex(shown.serial));
  MESHCA_ASSIGN_OR_RETURN(record, FindIssuance(tables, serial));
  record.origin = std::move(right.origin);
  if (record.line_serial.empty() && right.line != serial.bytes()) record.line_serial = HexLower(right.line);
  return record;
}

absl::Status CheckFirstRight(const Inventory& inventory, const IssuanceRecord& record) {
  // Tokens are redeemed in the same transaction, and nothing else that gives a right is kept in a store.
  if (record.origin.kind != OriginKind::kEntry) return absl::OkStatus();
  const std::string& id = record.origin.reference;
  // Not its age: it was believed a moment ago, and a clock that was set back since must not undo that.
  MESHCA_ASSIGN_OR_RETURN(const std::optional<RegistrationEntry> entry,
                          inventory.FindEntry(id, record.spiffe_id, absl::InfiniteFuture()));
  if (entry.has_value() && !entry->ServedByAgents()) return absl::OkStatus();
  return WithReason(absl::PermissionDeniedError(absl::StrCat(
                        "registration entry ", id, ", which gave ", record.spiffe_id.uri(),
                        " to this caller, was deleted before the certificate was recorded, so none is given; ask again "
                        "if another entry gives it, or ",
                        EntryAdvice().Say("make one", record.spiffe_id.uri(), kAnySelector))),
                    kEntryGone);
}

absl::StatusOr<InheritedRight> JudgeFirst(const Inventory& inventory, const IssuanceRecord& record) {
  InheritedRight right;
  right.origin = record.origin;
  right.node = record.node;
  right.parent = record.parent_serial;
  // Versions that asked no inventory renewed client certificates without showing them: their lines are walked.
  if (record.method == AuthMethod::kClientCertificate) return right;
  const std::optional<std::string> serial = SerialBytes(record.parent_serial);
  if (!serial.has_value()) return right;
  MESHCA_ASSIGN_OR_RETURN(const std::optional<RecordedCertificate> replaced, inventory.FindRecorded(*serial));
  if (!replaced.has_value()) return right;  // pruned: whoever is not on record holds nothing up
  if (replaced->spiffe_id != record.spiffe_id.uri()) {
    right.parent.clear();
    return right;
  }
  if (replaced->revocation.has_value()) {
    return CertificateIsRevoked({record.parent_serial, replaced->certificate_sha256, record.spiffe_id},
                                *replaced->revocation);
  }
  right.line = NamedLine(*replaced);
  return right;
}

absl::StatusOr<std::string> LineOf(const Inventory& inventory, RecordedCertificate record) {
  MESHCA_ASSIGN_OR_RETURN(InheritedRight right, RightOf(inventory, std::move(record)));
  return std::move(right.line);
}

absl::Status CheckSameId(const IssuanceRecord& record) {
  if (record.spiffe_id == record.presented->spiffe_id) return absl::OkStatus();
  return WithReason(absl::PermissionDeniedError(absl::StrCat(
                        "client certificate ", record.presented->serial, " of ", record.presented->spiffe_id.uri(),
                        ": renews this ID and no other, not ", record.spiffe_id.uri())),
                    "SPIFFE_ID_NOT_ALLOWED");
}

AuditEntry UnrecordedRenewal(const IssuanceRecord& record) {
  AuditEntry entry;
  entry.time = record.issued_at;
  entry.actor = record.caller;
  entry.action = "cert.renew-unrecorded";
  entry.target = record.spiffe_id.uri();
  entry.detail = absl::StrCat("certificate ", record.presented->serial, ", which is not on record, renewed as ",
                              record.serial.ToHex(), " by authority ", record.authority_id);
  return entry;
}

absl::Status CertificateIsRevoked(const PresentedCertificate& shown, const Revocation& revocation) {
  return WithReason(
      absl::UnauthenticatedError(absl::StrCat(
          "client certificate ", shown.serial, " of ", shown.spiffe_id.uri(), ": revoked at ",
          Rfc3339Text(revocation.at), " (", RevocationReasonName(static_cast<RevocationReason>(revocation.reason)),
          "), it or one of the same line of renewals or with its key; with a new key ", JoinAgain(shown.spiffe_id))),
      kCertificateRevoked);
}

absl::Status KeyIsRevoked(const Revocation& revocation) {
  return WithReason(
      absl::PermissionDeniedError(absl::StrCat(
          "workload key: belongs to a certificate that was revoked at ", Rfc3339Text(revocation.at), " (",
          RevocationReasonName(static_cast<RevocationReason>(revocation.reason)), "): make a new key and ask again")),
      kKeyRevoked);
}

std::optional<std::string> SerialBytes(absl::string_view hex) {
  auto bytes = HexDecode(hex);
  if (!bytes.ok() || bytes->empty() || bytes->size() > kSerialBytesMax) return std::nullopt;
  return *std::move(bytes);
}

}  // namespace meshca::storage
