// Parses the requests of the SPIFFE Workload API and enforces their limits.
#ifndef MESHCA_SDS_WORKLOAD_REQUEST_H_
#define MESHCA_SDS_WORKLOAD_REQUEST_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/rpc/metadata.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca::sds {

// A request without parameters may have so many bytes, all of them fields of newer editions of the standard; one with
// parameters so many: a token of 16 KiB, or 16 audiences and a SPIFFE ID.
inline constexpr size_t kPlainRequestBytesMax = 4 * 1024;
inline constexpr size_t kJwtRequestBytesMax = 32 * 1024;

// The metadata that every call carries (SPIFFE Workload Endpoint §3), so that whoever makes a server send requests of
// his choice does not reach this API with them. InvalidArgument (reason SECURITY_HEADER_MISSING): it is not there.
absl::Status CheckSecurityHeader(const rpc::Metadata& metadata);

// X509SVIDRequest, X509BundlesRequest, JWTBundlesRequest: they have no parameters; unknown fields are passed over.
// InvalidArgument: no protobuf message.
absl::Status ReadPlainRequest(absl::string_view bytes);

struct JwtSvidAsk {
  std::vector<std::string> audiences;  // CheckJwtAudiences has passed them
  std::optional<SpiffeId> id;          // nullopt: every identity that the caller has
};
// InvalidArgument: no JWTSVIDRequest, an audience that CheckJwtAudiences refuses, or a spiffe_id that is none with a
// path.
absl::StatusOr<JwtSvidAsk> ReadJwtSvidRequest(absl::string_view bytes);

struct ValidateAsk {
  std::string audience;  // 1 to 256 bytes
  std::string token;     // not empty
};
// InvalidArgument: no ValidateJWTSVIDRequest, or without audience or token.
absl::StatusOr<ValidateAsk> ReadValidateRequest(absl::string_view bytes);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_WORKLOAD_REQUEST_H_
