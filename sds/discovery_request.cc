#include "sds/discovery_request.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/rpc/protobuf_payload.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "sds/discovery_response.h"
#include "sds/secret_name.h"

namespace meshca::sds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryRequest;
using Names = google::protobuf::RepeatedPtrField<std::string>;

// Field numbers of envoy/service/discovery/v3/discovery.proto.
constexpr int kStateVersion = 1, kStateNames = 3, kStateTypeUrl = 4, kStateNonce = 5;
constexpr int kDeltaTypeUrl = 2, kDeltaNonce = 6;

// Takes one length-delimited field with a number below 16 and a value below 16 KiB off the front; false: it is
// something else.
bool TakeShortField(absl::string_view& bytes, int& number, absl::string_view& value) {
  if (bytes.size() < 2 || (bytes[0] & 0x87) != 2) return false;
  number = bytes[0] >> 3;
  size_t size = static_cast<uint8_t>(bytes[1]);
  size_t head = 2;
  if (size >= 0x80) {
    if (bytes.size() < 3 || static_cast<uint8_t>(bytes[2]) >= 0x80) return false;
    size = (size & 0x7f) | size_t{static_cast<uint8_t>(bytes[2])} << 7;
    head = 3;
  }
  if (bytes.size() - head < size) return false;
  value = bytes.substr(head, size);
  bytes.remove_prefix(head + size);
  return true;
}

std::string Printable(absl::string_view text, size_t bytes_max) {
  return absl::CHexEscape(text.substr(0, bytes_max)).substr(0, bytes_max);
}

absl::Status CheckTypeUrl(absl::string_view type_url) {
  if (type_url.empty() || type_url == kSecretTypeUrl) return absl::OkStatus();
  return WithReason(absl::InvalidArgumentError(absl::StrCat("SDS request: type_url ", QuoteName(type_url),
                                                            " is not served here; SDS serves ", kSecretTypeUrl)),
                    "TYPE_URL");
}

template <typename Strings>
size_t SumOfSizes(const Strings& names) {
  size_t bytes = 0;
  for (const std::string& name : names) bytes += name.size();
  return bytes;
}

absl::StatusOr<std::vector<std::string>> TakeNames(Names& names) {
  MESHCA_RETURN_IF_ERROR(CheckNames(names.size(), SumOfSizes(names)));
  std::vector<std::string> taken;
  taken.reserve(names.size());
  absl::flat_hash_set<absl::string_view> seen;
  for (std::string& name : names) {
    if (name.size() > kNameBytesMax) {
      return WithReason(
          absl::InvalidArgumentError(absl::StrCat("SDS request: name ", QuoteName(name), " has ", name.size(),
                                                  " bytes; at most ", kNameBytesMax, " are allowed")),
          "NAME_TOO_LONG");
    }
    if (seen.insert(name).second) taken.push_back(name);
  }
  return taken;
}

template <typename Request>
absl::StatusOr<Request> Parse(absl::string_view bytes) {
  Request request;
  MESHCA_RETURN_IF_ERROR(Annotate(rpc::ParseMessage(bytes, request), "SDS request"));
  MESHCA_RETURN_IF_ERROR(CheckTypeUrl(request.type_url()));
  return request;
}

template <typename Request>
DiscoveryAsk Common(const Request& request) {
  DiscoveryAsk ask;
  ask.node_id = Printable(request.node().id(), kNodeIdBytesMax);
  ask.nonce = Printable(request.response_nonce(), kNodeIdBytesMax);
  if (request.has_error_detail()) ask.rejection = Printable(request.error_detail().message(), kRejectionBytesMax);
  return ask;
}

}  // namespace

size_t DiscoveryAsk::NameBytes() const { return SumOfSizes(names) + SumOfSizes(unsubscribe); }

absl::Status CheckNames(size_t count, size_t bytes) {
  const auto too_many = [count](const auto&... words) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat("SDS request: names ", count, " secrets", words...)),
                      "TOO_MANY_NAMES");
  };
  if (count > kNamesMax) return too_many("; one stream may hold at most ", kNamesMax);
  if (bytes > kNamesBytesMax) {
    return too_many(" in ", bytes, " bytes; the names of one stream may have at most ", kNamesBytesMax);
  }
  return absl::OkStatus();
}

bool IsBareAck(Protocol protocol, absl::string_view request, absl::string_view nonce,
               std::span<const absl::string_view> names) {
  const bool state = protocol == Protocol::kStateOfTheWorld;
  const int nonce_field = state ? kStateNonce : kDeltaNonce;
  const int type_field = state ? kStateTypeUrl : kDeltaTypeUrl;
  bool answers = false;
  size_t named = 0;
  while (!request.empty()) {
    int number = 0;
    absl::string_view value;
    if (!TakeShortField(request, number, value)) return false;
    if (number == nonce_field) {
      if (value != nonce) return false;
      answers = true;
    } else if (number == type_field) {
      if (value != kSecretTypeUrl) return false;
    } else if (state && number == kStateNames) {
      if (named == names.size() || value != names[named]) return false;
      ++named;
    } else if (!state || number != kStateVersion) {
      return false;
    }
  }
  return answers && (!state || named == names.size());
}

absl::StatusOr<DiscoveryAsk> ReadStateRequest(absl::string_view bytes) {
  MESHCA_ASSIGN_OR_RETURN(DiscoveryRequest request, Parse<DiscoveryRequest>(bytes));
  DiscoveryAsk ask = Common(request);
  MESHCA_ASSIGN_OR_RETURN(ask.names, TakeNames(*request.mutable_resource_names()));
  return ask;
}

absl::StatusOr<DiscoveryAsk> ReadDeltaRequest(absl::string_view bytes) {
  MESHCA_ASSIGN_OR_RETURN(DeltaDiscoveryRequest request, Parse<DeltaDiscoveryRequest>(bytes));
  DiscoveryAsk ask = Common(request);
  MESHCA_ASSIGN_OR_RETURN(ask.names, TakeNames(*request.mutable_resource_names_subscribe()));
  MESHCA_ASSIGN_OR_RETURN(ask.unsubscribe, TakeNames(*request.mutable_resource_names_unsubscribe()));
  return ask;
}

}  // namespace meshca::sds
