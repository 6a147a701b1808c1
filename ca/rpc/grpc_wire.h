// The small encodings of gRPC over HTTP/2: timeouts, percent-encoded messages, base64 metadata, status details.
#ifndef MESHCA_CA_RPC_GRPC_WIRE_H_
#define MESHCA_CA_RPC_GRPC_WIRE_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace meshca::rpc {

// "application/grpc", "application/grpc+proto", either with parameters.
bool IsGrpcContentType(absl::string_view value);

// grpc-timeout: 1 to 8 digits and one of H M S m u n. Nothing when malformed.
std::optional<absl::Duration> ParseTimeout(absl::string_view value);

// grpc-message: bytes outside 0x20..0x7e, and '%', as %XX.
std::string PercentEncode(absl::string_view message);

// A "-bin" value as bytes: base64, padded or not. False when it is not base64.
bool DecodeBinaryValue(absl::string_view value, std::string& bytes);
// Unpadded, as the specification asks.
std::string EncodeBinaryValue(absl::string_view bytes);

// What of a status's message travels: clients of gRPC refuse, above 8 KiB of headers by chance and above 16 KiB always,
// an answer whose trailers are longer, and would show that instead of the error. The message travels twice (in plain
// and in the details, see below), so whole characters of it up to 3,072 bytes once percent-encoded, and " (shortened)"
// for the rest.
std::string BoundedMessage(absl::string_view message);

// google.rpc.Status with one google.rpc.ErrorInfo{reason, domain "meshca"}, serialised, for grpc-status-details-bin;
// "" when `status` carries no reason. `message` is the bounded one.
std::string EncodeStatusDetails(const absl::Status& status, absl::string_view message);

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_GRPC_WIRE_H_
