#include "sds/workload_request.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/jwt/jwt_svid.h"
#include "ca/rpc/protobuf_payload.h"
#include "spiffe/workload/workload.pb.h"

namespace meshca::sds {
namespace {

constexpr absl::string_view kSecurityHeader = "workload.spiffe.io";

absl::Status InvalidRequest(absl::string_view method, absl::string_view sentence, absl::string_view reason) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat(method, ": ", sentence)), reason);
}

}  // namespace

absl::Status CheckSecurityHeader(const rpc::Metadata& metadata) {
  if (metadata.Find(kSecurityHeader) == absl::string_view("true")) return absl::OkStatus();
  return WithReason(absl::InvalidArgumentError("Workload API: the call has no metadata workload.spiffe.io: true, which "
                                               "every client of the SPIFFE Workload API sends"),
                    "SECURITY_HEADER_MISSING");
}

absl::Status ReadPlainRequest(absl::string_view bytes) {
  if (bytes.empty()) return absl::OkStatus();  // as every client of today sends it
  X509SVIDRequest request;
  return Annotate(rpc::ParseMessage(bytes, request), "Workload API request");
}

absl::StatusOr<JwtSvidAsk> ReadJwtSvidRequest(absl::string_view bytes) {
  JWTSVIDRequest request;
  MESHCA_RETURN_IF_ERROR(Annotate(rpc::ParseMessage(bytes, request), "FetchJWTSVID"));
  JwtSvidAsk ask;
  ask.audiences.assign(request.audience().begin(), request.audience().end());
  MESHCA_RETURN_IF_ERROR(Annotate(CheckJwtAudiences(ask.audiences), "FetchJWTSVID"));
  if (request.spiffe_id().empty()) return ask;
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(request.spiffe_id());
  if (!id.ok()) return InvalidRequest("FetchJWTSVID", id.status().message(), "SPIFFE_ID_INVALID");
  if (!id->has_path()) {
    return InvalidRequest("FetchJWTSVID",
                          absl::StrCat("spiffe_id ", id->uri(),
                                       " is a trust domain's, which nobody may hold; name a "
                                       "workload's, or none for all that the caller has"),
                          "SPIFFE_ID_INVALID");
  }
  ask.id = *std::move(id);
  return ask;
}

absl::StatusOr<ValidateAsk> ReadValidateRequest(absl::string_view bytes) {
  ValidateJWTSVIDRequest request;
  MESHCA_RETURN_IF_ERROR(Annotate(rpc::ParseMessage(bytes, request), "ValidateJWTSVID"));
  if (request.audience().empty() || request.audience().size() > kJwtAudienceBytesMax) {
    return InvalidRequest("ValidateJWTSVID",
                          absl::StrCat("audience has ", request.audience().size(),
                                       " bytes; it says whom the token has "
                                       "to be for, in 1 to ",
                                       kJwtAudienceBytesMax, " bytes"),
                          "JWT_AUDIENCE_INVALID");
  }
  if (request.svid().empty()) {
    return InvalidRequest("ValidateJWTSVID", "svid is empty; it holds the token", "JWT_MALFORMED");
  }
  return ValidateAsk{std::move(*request.mutable_audience()), std::move(*request.mutable_svid())};
}

}  // namespace meshca::sds
