// The inventory of issued certificates.
#include <string>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/service/admin_methods.h"
#include "ca/service/proto_time.h"
#include "ca/x509/encoding.h"

namespace meshca::admin_methods {
void FillCertificate(const IssuanceRecord& record, v1::CertificateRecord& message) {
  message.Clear();
  message.set_serial(record.serial.ToHex());
  message.set_spiffe_id(record.spiffe_id.uri());
  message.set_authority_id(record.authority_id);
  SetTime(record.not_before, [&] { return message.mutable_not_before(); });
  SetTime(record.not_after, [&] { return message.mutable_not_after(); });
  SetTime(record.issued_at, [&] { return message.mutable_issued_at(); });
  message.set_auth_method(std::string(AuthMethodName(record.method)));
  message.set_caller(record.caller);
  message.set_instance(record.instance);
  message.set_node(record.node);
  message.set_parent_serial(record.parent_serial);
  message.set_token_id(record.token_id);
  message.set_key_sha256(HexLower(record.key_sha256));
  message.set_certificate_sha256(HexLower(record.certificate_sha256));
  message.set_origin_kind(std::string(OriginKindName(record.origin.kind)));
  message.set_origin_reference(record.origin.reference);
  message.set_line_serial(record.line_serial);
  if (record.revoked_at == absl::InfiniteFuture()) return;
  SetTime(record.revoked_at, [&] { return message.mutable_revoked_at(); });
  message.set_revocation_reason(
      std::string(RevocationReasonName(static_cast<RevocationReason>(record.revocation_reason))));
}

absl::StatusOr<SerialNumber> ReadSerial(const std::string& text) {
  absl::StatusOr<SerialNumber> serial = SerialNumber::FromHex(text);
  if (!serial.ok()) return Annotate(serial.status(), absl::StrCat("serial \"", text, "\""));
  return serial;
}

absl::Status ListCertificates(const AdminContext& context, const std::string& actor,
                              const v1::ListCertificatesRequest& request, const Emit<v1::CertificateRecord>& emit) {
  IssuanceFilter filter;
  filter.spiffe_id_glob = request.spiffe_id_glob();
  filter.authority_id_prefix = request.authority_id_prefix();
  filter.node = request.node();
  filter.revoked_only = request.revoked_only();
  if (request.has_expires_before()) filter.expires_before = ToTime(request.expires_before());
  if (request.has_expires_after()) filter.expires_after = ToTime(request.expires_after());
  v1::CertificateRecord message;
  return context.issuances.List(filter, [&](const IssuanceRecord& record) {
    FillCertificate(record, message);
    return emit(message);
  });
}

absl::StatusOr<v1::CertificateRecord> GetCertificate(const AdminContext& context, const std::string& actor,
                                                     const v1::GetCertificateRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const SerialNumber serial, ReadSerial(request.serial()));
  const absl::StatusOr<IssuanceRecord> record = context.issuances.Find(serial);
  if (absl::IsNotFound(record.status())) {
    return absl::NotFoundError(
        absl::StrCat("no certificate with serial ", serial.ToHex(), " is recorded; `meshca cert list` shows all"));
  }
  if (!record.ok()) return record.status();
  v1::CertificateRecord message;
  FillCertificate(*record, message);
  return message;
}

absl::StatusOr<v1::RenewCertificatesResponse> RenewCertificates(const AdminContext& context, const std::string& actor,
                                                                const v1::RenewCertificatesRequest& request) {
  if (request.serial().empty() == request.spiffe_id_glob().empty()) {
    return absl::InvalidArgumentError("name either a serial or a pattern of SPIFFE IDs");
  }
  LiveSubscribers::Wanted wanted;
  if (!request.serial().empty()) {
    MESHCA_ASSIGN_OR_RETURN(const SerialNumber serial, ReadSerial(request.serial()));
    wanted = [hex = serial.ToHex()](absl::string_view, absl::string_view held) { return held == hex; };
  } else {
    wanted = [&](absl::string_view spiffe_id, absl::string_view) {
      const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(spiffe_id);
      return id.ok() && id->MatchesGlob(request.spiffe_id_glob());
    };
  }
  const std::vector<std::string> renewed = context.subscribers.Renew(wanted);
  if (renewed.empty()) {
    return absl::NotFoundError(
        "no connected SDS subscriber holds such a certificate (`meshca subscriber list`); others renew by themselves");
  }
  v1::RenewCertificatesResponse response;
  response.set_renewed(renewed.size());
  for (const std::string& id : absl::btree_set<std::string>(renewed.begin(), renewed.end())) {
    response.add_spiffe_ids(id);
  }
  return response;
}

}  // namespace meshca::admin_methods
