#include "sds/discovery_response.h"

#include <openssl/sha.h>

#include <array>
#include <atomic>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/secret.h"
#include "ca/x509/encoding.h"
#include "sds/secret_snapshot.h"

namespace meshca::sds {
namespace wire {
namespace {

size_t VarintSize(size_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

}  // namespace

size_t FieldSize(size_t value_bytes) { return 1 + VarintSize(value_bytes) + value_bytes; }

void AppendHead(int number, size_t value_bytes, std::string& out) {
  MESHCA_CHECK(number > 0 && number < 16);
  out.push_back(static_cast<char>(number << 3 | 2));
  for (; value_bytes >= 0x80; value_bytes >>= 7) out.push_back(static_cast<char>((value_bytes & 0x7f) | 0x80));
  out.push_back(static_cast<char>(value_bytes));
}

void AppendField(int number, absl::string_view value, std::string& out) {
  AppendHead(number, value.size(), out);
  out.append(value.data(), value.size());
}

std::unique_ptr<std::string> Reserve(size_t message_bytes) {
  MESHCA_CHECK(message_bytes <= 0xffffffff);
  auto out = std::make_unique<std::string>();
  out->reserve(rpc::kFramePrefixBytes + message_bytes);
  out->push_back(0);
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(message_bytes >> shift));
  return out;
}

rpc::Payload WipedPayload(std::unique_ptr<std::string> filled) {
  size_t bytes = 0;
  for (size_t i = 1; i < rpc::kFramePrefixBytes; ++i) bytes = bytes << 8 | static_cast<uint8_t>((*filled)[i]);
  MESHCA_CHECK(filled->size() == rpc::kFramePrefixBytes + bytes);
  return rpc::Payload(filled.release(), [](const std::string* text) {
    Wipe(*const_cast<std::string*>(text));
    delete text;
  });
}

}  // namespace wire
namespace {

using wire::AppendField;
using wire::AppendHead;
using wire::FieldSize;

// Field numbers of envoy/service/discovery/v3/discovery.proto, google/protobuf/any.proto and secret.proto.
constexpr int kAnyTypeUrl = 1, kAnyValue = 2;
constexpr int kSecretName = 1;
constexpr int kResponseVersion = 1, kResponseResources = 2, kResponseTypeUrl = 4, kResponseNonce = 5;
constexpr int kDeltaRemoved = 6;
constexpr int kResourceVersion = 1, kResourceAny = 2, kResourceName = 3;

std::atomic<uint64_t> last_nonce{0};

size_t SecretSize(const SecretSnapshot& secret) {
  return FieldSize(secret.name().size()) + secret.content()->body().size();
}
size_t AnySize(const SecretSnapshot& secret) {
  return FieldSize(kSecretTypeUrl.size()) + FieldSize(SecretSize(secret));
}
size_t ResourceSize(Protocol protocol, const SecretSnapshot& secret) {
  if (protocol == Protocol::kStateOfTheWorld) return AnySize(secret);
  return FieldSize(secret.version().size()) + FieldSize(AnySize(secret)) + FieldSize(secret.name().size());
}

void AppendAny(const SecretSnapshot& secret, std::string& out) {
  AppendField(kAnyTypeUrl, kSecretTypeUrl, out);
  AppendHead(kAnyValue, SecretSize(secret), out);
  AppendField(kSecretName, secret.name(), out);
  out.append(secret.content()->body().data(), secret.content()->body().size());
}

void AppendResource(Protocol protocol, const SecretSnapshot& secret, std::string& out) {
  AppendHead(kResponseResources, ResourceSize(protocol, secret), out);
  if (protocol == Protocol::kStateOfTheWorld) return AppendAny(secret, out);
  AppendField(kResourceVersion, secret.version(), out);
  AppendHead(kResourceAny, AnySize(secret), out);
  AppendAny(secret, out);
  AppendField(kResourceName, secret.name(), out);
}

std::string VersionOf(std::span<const SecretSnapshot* const> resources) {
  if (resources.empty()) return "";
  if (resources.size() == 1) return resources.front()->version();
  std::string all;
  for (const SecretSnapshot* secret : resources) absl::StrAppend(&all, secret->version(), "\n");
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(all.data()), all.size(), digest);
  return HexLower({reinterpret_cast<const char*>(digest), 16});
}

}  // namespace

NumberedResponse MakeResponse(Protocol protocol, std::span<const SecretSnapshot* const> resources,
                              std::span<const std::string> removed) {
  MESHCA_CHECK(removed.empty() || protocol == Protocol::kDelta);
  const uint64_t number = last_nonce.fetch_add(1, std::memory_order_relaxed) + 1;
  const std::string nonce = absl::StrCat(number);
  const std::string version = VersionOf(resources);

  size_t bytes = FieldSize(version.size()) + FieldSize(kSecretTypeUrl.size()) + FieldSize(nonce.size());
  for (const SecretSnapshot* secret : resources) bytes += FieldSize(ResourceSize(protocol, *secret));
  for (const std::string& name : removed) bytes += FieldSize(name.size());

  std::unique_ptr<std::string> out = wire::Reserve(bytes);
  AppendField(kResponseVersion, version, *out);
  for (const SecretSnapshot* secret : resources) AppendResource(protocol, *secret, *out);
  AppendField(kResponseTypeUrl, kSecretTypeUrl, *out);
  AppendField(kResponseNonce, nonce, *out);
  for (const std::string& name : removed) AppendField(kDeltaRemoved, name, *out);
  return {number, wire::WipedPayload(std::move(out))};
}

NumberedResponse MakeResponseAfter(uint64_t nonce, Protocol protocol, std::span<const SecretSnapshot* const> resources,
                                   std::span<const std::string> removed) {
  if (resources.size() == 1 && removed.empty()) {
    NumberedResponse shared = resources.front()->Alone(protocol);
    if (shared.nonce > nonce) return shared;
  }
  return MakeResponse(protocol, resources, removed);
}

uint64_t ResponsesSerialised() { return last_nonce.load(std::memory_order_relaxed); }

}  // namespace meshca::sds
