#include "test/bench/discovery_wire.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "spiffe/workload/workload.pb.h"

namespace meshca::bench {
namespace {

using envoy::extensions::transport_sockets::tls::v3::Secret;
using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;

constexpr char kSecretTypeUrl[] = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
// Field numbers of envoy/service/discovery/v3/discovery.proto; those of the responses are the same for both protocols.
constexpr int kResponseVersion = 1, kResponseNonce = 5;
constexpr int kStateVersion = 1, kStateNonce = 5;
constexpr int kDeltaNonce = 6;

bool TakeVarint(absl::string_view& bytes, uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

// Skips a field that is not length-delimited.
bool SkipScalar(int wire_type, absl::string_view& bytes) {
  uint64_t ignored = 0;
  if (wire_type == 0) return TakeVarint(bytes, ignored);
  const size_t size = wire_type == 1 ? 8 : wire_type == 5 ? 4 : bytes.size() + 1;
  if (size > bytes.size()) return false;
  bytes.remove_prefix(size);
  return true;
}

void AppendVarint(uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>((value & 0x7f) | 0x80));
  out.push_back(static_cast<char>(value));
}

size_t FieldSize(absl::string_view text) {
  std::string length;
  AppendVarint(text.size(), length);
  return 1 + length.size() + text.size();
}

void AppendField(int number, absl::string_view text, std::string& out) {
  out.push_back(static_cast<char>(number << 3 | 2));
  AppendVarint(text.size(), out);
  out.append(text.data(), text.size());
}

void AppendPrefix(size_t message_bytes, std::string& out) {
  out.push_back(0);
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(message_bytes >> shift));
}

absl::StatusOr<std::string> NameOfSecret(const google::protobuf::Any& resource) {
  Secret secret;
  if (resource.type_url() != kSecretTypeUrl) {
    return absl::InvalidArgumentError(absl::StrCat("a resource of type \"", resource.type_url(), "\""));
  }
  if (!secret.ParseFromString(resource.value())) return absl::InvalidArgumentError("a resource that is no Secret");
  if (secret.name().empty()) return absl::InvalidArgumentError("a secret without a name");
  if (secret.type_case() == Secret::TYPE_NOT_SET) {
    return absl::InvalidArgumentError(absl::StrCat("secret \"", secret.name(), "\" is empty"));
  }
  return secret.name();
}

const google::protobuf::Any& PackedIn(const google::protobuf::Any& resource) { return resource; }
const google::protobuf::Any& PackedIn(const envoy::service::discovery::v3::Resource& resource) {
  return resource.resource();
}

template <typename Response>
absl::StatusOr<std::vector<std::string>> NamesIn(const Response& response, absl::string_view nonce) {
  if (response.nonce().empty()) return absl::InvalidArgumentError("a response without a nonce");
  if (response.nonce() != std::string(nonce)) return absl::InvalidArgumentError("a response with two nonces");
  if (response.type_url() != kSecretTypeUrl) {
    return absl::InvalidArgumentError(absl::StrCat("a response of type \"", response.type_url(), "\""));
  }
  std::vector<std::string> names;
  for (const auto& resource : response.resources()) {
    absl::StatusOr<std::string> name = NameOfSecret(PackedIn(resource));
    if (!name.ok()) return name.status();
    names.push_back(*std::move(name));
  }
  return names;
}

template <typename Response>
absl::StatusOr<std::vector<std::string>> ParseAndCheck(absl::string_view bytes, absl::string_view nonce) {
  Response response;
  if (!response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("a response that is no protobuf");
  }
  return NamesIn(response, nonce);
}

absl::StatusOr<std::vector<std::string>> CheckSvids(absl::string_view bytes) {
  X509SVIDResponse response;
  if (!response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("a response that is no protobuf");
  }
  for (const X509SVID& svid : response.svids()) {
    if (svid.spiffe_id().empty() || svid.x509_svid().empty() || svid.x509_svid_key().empty() || svid.bundle().empty()) {
      return absl::InvalidArgumentError(absl::StrCat("the SVID of \"", svid.spiffe_id(), "\" is not whole"));
    }
  }
  if (response.svids().empty()) return absl::InvalidArgumentError("a response without an SVID");
  return std::vector<std::string>{kX509Svid};
}

}  // namespace

absl::StatusOr<ResponseHead> ReadHead(absl::string_view response) {
  ResponseHead head;
  const auto malformed = [] { return absl::InvalidArgumentError("a response that is no protobuf, or is cut short"); };
  while (!response.empty()) {
    uint64_t tag = 0;
    if (!TakeVarint(response, tag)) return malformed();
    const int wire_type = static_cast<int>(tag & 7);
    if (wire_type != 2) {
      if (!SkipScalar(wire_type, response)) return malformed();
      continue;
    }
    uint64_t size = 0;
    if (!TakeVarint(response, size) || size > response.size()) return malformed();
    const absl::string_view value = response.substr(0, size);
    response.remove_prefix(size);
    if (tag >> 3 == kResponseVersion) head.version = value;
    if (tag >> 3 == kResponseNonce) head.nonce = value;
  }
  return head;
}

absl::StatusOr<std::vector<std::string>> CheckWhole(Discovery discovery, absl::string_view response) {
  if (discovery == Discovery::kWorkloadX509) return CheckSvids(response);
  const absl::StatusOr<ResponseHead> head = ReadHead(response);
  if (!head.ok()) return head.status();
  if (discovery == Discovery::kDelta) return ParseAndCheck<DeltaDiscoveryResponse>(response, head->nonce);
  return ParseAndCheck<DiscoveryResponse>(response, head->nonce);
}

SubscriptionRequests::SubscriptionRequests(Discovery discovery, const std::vector<std::string>& resources)
    : discovery_(discovery), resources_(resources) {
  if (discovery_ == Discovery::kWorkloadX509) return;
  if (discovery_ == Discovery::kDelta) {
    DeltaDiscoveryRequest request;
    request.set_type_url(kSecretTypeUrl);
    ack_part_ = request.SerializeAsString();
    return;
  }
  // State of the world: every request names the whole subscription.
  DiscoveryRequest request;
  request.set_type_url(kSecretTypeUrl);
  for (const std::string& name : resources_) request.add_resource_names(name);
  ack_part_ = request.SerializeAsString();
}

std::string SubscriptionRequests::Subscribe(const std::string& node_id) const {
  std::string message;
  if (discovery_ == Discovery::kWorkloadX509) {
    message = X509SVIDRequest().SerializeAsString();
  } else if (discovery_ == Discovery::kDelta) {
    DeltaDiscoveryRequest request;
    request.mutable_node()->set_id(node_id);
    request.set_type_url(kSecretTypeUrl);
    for (const std::string& name : resources_) request.add_resource_names_subscribe(name);
    message = request.SerializeAsString();
  } else {
    DiscoveryRequest request;
    request.mutable_node()->set_id(node_id);
    request.set_type_url(kSecretTypeUrl);
    for (const std::string& name : resources_) request.add_resource_names(name);
    message = request.SerializeAsString();
  }
  std::string framed;
  AppendPrefix(message.size(), framed);
  return framed + message;
}

void SubscriptionRequests::AppendAck(const ResponseHead& response, std::string& out) const {
  if (discovery_ == Discovery::kWorkloadX509) return;
  const bool state = discovery_ == Discovery::kStateOfTheWorld;
  const size_t version_bytes = state ? FieldSize(response.version) : 0;
  AppendPrefix(ack_part_.size() + version_bytes + FieldSize(response.nonce), out);
  out += ack_part_;
  if (state) AppendField(kStateVersion, response.version, out);
  AppendField(state ? kStateNonce : kDeltaNonce, response.nonce, out);
}

}  // namespace meshca::bench
