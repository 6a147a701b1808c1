// Taking identities back.
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/authority_lookup.h"
#include "ca/base/exactly_one.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/identity/pod_origin.h"
#include "ca/service/admin_methods.h"

namespace meshca::admin_methods {
namespace {

constexpr int kRecordsShown = 1000;
constexpr int kStandingShown = 100;

absl::Status NothingToRevoke(absl::string_view what) {
  return WithReason(absl::NotFoundError(what), "NOTHING_TO_REVOKE");
}

// A selection and how people call it.
struct Chosen {
  RevocationSelection selection;
  std::string text;   // "entry web", for the audit log
  std::string words;  // "no live certificate ... `words` is left to revoke"
  std::string list;   // the options of `meshca cert list` that show what there is
};

absl::StatusOr<Chosen> Choose(const AdminContext& context, const v1::RevokeCertificatesRequest& request) {
  MESHCA_RETURN_IF_ERROR(CheckExactlyOne({{"serial", !request.serial().empty()},
                                          {"spiffe_id_glob", !request.spiffe_id_glob().empty()},
                                          {"authority_id_prefix", !request.authority_id_prefix().empty()},
                                          {"node", !request.node().empty()},
                                          {"entry_id", !request.entry_id().empty()}},
                                         "`meshca cert list` shows what they are"));
  Chosen chosen;
  if (!request.serial().empty()) {
    MESHCA_ASSIGN_OR_RETURN(const SerialNumber serial, ReadSerial(request.serial()));
    chosen.selection.serial = serial.ToHex();
    chosen.text = absl::StrCat("serial ", serial.ToHex());
  } else if (!request.spiffe_id_glob().empty()) {
    chosen.selection.spiffe_id_glob = request.spiffe_id_glob();
    chosen.text = absl::StrCat("id ", request.spiffe_id_glob());
    chosen.words = absl::StrCat("with an identity that fits \"", request.spiffe_id_glob(), "\"");
    chosen.list = absl::StrCat(" --id '", request.spiffe_id_glob(), "'");
  } else if (!request.authority_id_prefix().empty()) {
    const auto snapshot = context.authorities.Current();
    MESHCA_ASSIGN_OR_RETURN(
        chosen.selection.authority_id_prefix,
        IssuingIdPrefix(snapshot == nullptr ? std::span<const SigningAuthority>() : snapshot->authorities,
                        request.authority_id_prefix()));
    chosen.text = absl::StrCat("issuer ", chosen.selection.authority_id_prefix);
    chosen.words = absl::StrCat("that authority ", chosen.selection.authority_id_prefix, " signed");
    chosen.list = absl::StrCat(" --issuer ", chosen.selection.authority_id_prefix);
  } else if (!request.node().empty()) {
    chosen.selection.node = request.node();
    chosen.text = absl::StrCat("node ", request.node());
    chosen.words = absl::StrCat("of node \"", request.node(), "\"");
    chosen.list = absl::StrCat(" --node '", request.node(), "'");
  } else {
    chosen.selection.entry_id = request.entry_id();
    chosen.text = absl::StrCat("entry ", request.entry_id());
    chosen.words = absl::StrCat("that came from entry \"", request.entry_id(), "\"");
  }
  return chosen;
}

// Why `chosen` leaves nothing to revoke, and where to look.
absl::Status Nothing(const AdminContext& context, const Chosen& chosen, absl::Time now) {
  if (chosen.selection.serial.empty()) {
    return NothingToRevoke(absl::StrCat("no live certificate ", chosen.words,
                                        " is left to revoke; `meshca cert list --live", chosen.list,
                                        "` shows those there are"));
  }
  MESHCA_ASSIGN_OR_RETURN(const SerialNumber serial, ReadSerial(chosen.selection.serial));
  const absl::StatusOr<IssuanceRecord> record = context.issuances.Find(serial);
  if (absl::IsNotFound(record.status())) {
    return NothingToRevoke(
        absl::StrCat("no certificate with serial ", serial.ToHex(), " is recorded; `meshca cert list` shows all"));
  }
  if (!record.ok()) return record.status();
  if (record->revoked_at != absl::InfiniteFuture()) {
    return NothingToRevoke(
        absl::StrCat("certificate ", serial.ToHex(), " was revoked already, at ", UtcText(record->revoked_at), " (",
                     RevocationReasonName(static_cast<RevocationReason>(record->revocation_reason)), ")"));
  }
  return NothingToRevoke(absl::StrCat("certificate ", serial.ToHex(), " ended at ", UtcText(record->not_after),
                                      ": nothing is left to revoke"));
}

// What still gives the identities of the certificates it is shown. Bounded, whatever their number.
class StandingRights {
 public:
  StandingRights(const std::vector<RegistrationEntry>& entries, v1::RevokeCertificatesResponse& response)
      : response_(response) {
    for (const RegistrationEntry& entry : entries) entries_of_[entry.spiffe_id.uri()].push_back(entry.id);
  }

  void Add(const IssuanceRecord& record) {
    const std::string id = record.spiffe_id.uri();
    // Any entry of the identity, not only the one that gave this certificate: each would give it again.
    if (const auto found = entries_of_.find(id); found != entries_of_.end()) {
      for (const std::string& entry : found->second) Tell({OriginKind::kEntry, entry}, id);
      entries_of_.erase(found);
    }
    if (record.origin.kind == OriginKind::kJwtIssuer) Tell(record.origin, id);
    // Any pod of the account, not only the one that had this certificate.
    if (const std::optional<PodOrigin> pod = PodOrigin::From(record.origin); pod.has_value()) {
      Tell({OriginKind::kPod, absl::StrCat("of service account ", pod->namespace_name, "/", pod->account)}, id);
    }
  }

 private:
  void Tell(const Origin& origin, const std::string& id) {
    if (response_.standing_size() >= kStandingShown) return;
    if (!told_.insert(absl::StrCat(OriginText(origin), "\n", id)).second) return;
    v1::StandingRight* const right = response_.add_standing();
    right->set_origin_kind(std::string(OriginKindName(origin.kind)));
    right->set_origin_reference(origin.reference);
    right->set_spiffe_id(id);
  }

  v1::RevokeCertificatesResponse& response_;
  absl::flat_hash_map<std::string, std::vector<std::string>> entries_of_;
  absl::btree_set<std::string> told_;
};

}  // namespace

absl::StatusOr<v1::RevokeCertificatesResponse> RevokeCertificates(const AdminContext& context, const std::string& actor,
                                                                  const v1::RevokeCertificatesRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const Chosen chosen, Choose(context, request));
  RevocationReason reason = RevocationReason::kUnspecified;
  if (!request.reason().empty()) {
    MESHCA_ASSIGN_OR_RETURN(reason, ParseRevocationReason(request.reason()));
  }
  AuditEntry audit;
  // By a clock that is ahead, certificates that live would pass for ended, and be left out.
  audit.time = context.clock.LikelyNow();
  audit.actor = actor;
  audit.action = "certificate.revoke";
  audit.target = chosen.text;  // the store adds how many, and why

  v1::RevokeCertificatesResponse response;
  MESHCA_ASSIGN_OR_RETURN(const std::vector<RegistrationEntry> entries, context.entries.ListEntries());
  StandingRights standing(entries, response);
  const absl::StatusOr<RevocationResult> revoked =
      context.revocations.Revoke(chosen.selection, reason, request.dry_run(), audit, [&](const IssuanceRecord& record) {
        if (response.records_size() < kRecordsShown) FillCertificate(record, *response.add_records());
        standing.Add(record);
        return true;
      });
  // Whatever became of this call: one before it may have been committed and then failed to answer. Connections first:
  // they are judged by somebody else, at the same time.
  if (!request.dry_run()) {
    if (context.judge_connections) context.judge_connections();
    response.set_keys_dropped(context.subscribers.DropRevoked());
  }
  if (absl::IsNotFound(revoked.status())) return Nothing(context, chosen, audit.time);
  if (!revoked.ok()) return revoked.status();
  response.set_certificates(revoked->certificates);
  response.set_lines(revoked->lines);
  response.set_dry_run(request.dry_run());
  if (request.dry_run()) return response;
  if (context.count_revoked) context.count_revoked(revoked->certificates);
  return response;
}

}  // namespace meshca::admin_methods
