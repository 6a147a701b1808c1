#include "sds/workload_response.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/escaping.h"
#include "ca/base/check.h"
#include "ca/base/secret.h"
#include "ca/x509/encoding.h"
#include "sds/discovery_response.h"

namespace meshca::sds {
namespace {

using wire::AppendField;
using wire::AppendHead;
using wire::FieldSize;

// Field numbers of spiffe/workload/workload.proto.
constexpr int kSvids = 1, kFederatedBundles = 3;
constexpr int kSpiffeId = 1, kX509Svid = 2, kX509SvidKey = 3, kBundle = 4, kHint = 5;
constexpr int kJwtToken = 2, kJwtHint = 3;
constexpr int kBundleDomain = 1, kBundleRoots = 2;

size_t HintSize(absl::string_view hint) { return hint.empty() ? 0 : FieldSize(hint.size()); }

std::string ChainDer(absl::string_view pem) {
  absl::StatusOr<std::vector<Der>> blocks = PemDecodeAll(pem, kPemCertificate);
  MESHCA_CHECK(blocks.ok());  // we wrote it
  std::string der;
  for (const Der& certificate : *blocks) der += certificate.bytes();
  return der;
}

// PemDecodeAll would leave an unwiped copy of the key in freed memory.
SecretBytes KeyDer(absl::string_view pem) {
  const size_t begin = pem.find('\n');
  const size_t end = pem.rfind("\n-----END ");
  MESHCA_CHECK(begin != absl::string_view::npos && end != absl::string_view::npos && begin < end);
  const absl::string_view base64 = pem.substr(begin, end - begin);
  std::string der;
  der.reserve(base64.size());  // more than it takes: it does not grow, and no copy stays behind
  MESHCA_CHECK(absl::Base64Unescape(base64, &der));
  return SecretBytes(std::move(der));
}

// One identity in the forms that it is written in.
struct Encoded {
  absl::string_view id;
  absl::string_view hint;
  std::string chain;
  SecretBytes key;

  size_t Size(const std::string& bundle) const {
    return FieldSize(id.size()) + FieldSize(chain.size()) + FieldSize(key.size()) + FieldSize(bundle.size()) +
           HintSize(hint);
  }
};

rpc::Payload SerialiseX509(std::span<const WorkloadSvid> svids, const WorkloadBundles& bundles) {
  const std::string& own = bundles.domains.front().roots_der;
  const std::span<const WorkloadBundles::Domain> federated = std::span(bundles.domains).subspan(1);
  const auto entry_size = [](const WorkloadBundles::Domain& domain) {
    return FieldSize(domain.id.size()) + FieldSize(domain.roots_der.size());
  };
  std::vector<Encoded> encoded;
  encoded.reserve(svids.size());
  size_t bytes = 0;
  for (const WorkloadSvid& svid : svids) {
    encoded.push_back({svid.content->identity().id.uri(), svid.hint, ChainDer(svid.content->chain_pem()),
                       KeyDer(svid.content->key_pem())});
    bytes += FieldSize(encoded.back().Size(own));
  }
  for (const WorkloadBundles::Domain& domain : federated) bytes += FieldSize(entry_size(domain));

  std::unique_ptr<std::string> out = wire::Reserve(bytes);
  for (const Encoded& svid : encoded) {
    AppendHead(kSvids, svid.Size(own), *out);
    AppendField(kSpiffeId, svid.id, *out);
    AppendField(kX509Svid, svid.chain, *out);
    AppendField(kX509SvidKey, svid.key.reveal(), *out);
    AppendField(kBundle, own, *out);
    if (!svid.hint.empty()) AppendField(kHint, svid.hint, *out);
  }
  for (const WorkloadBundles::Domain& domain : federated) {
    AppendHead(kFederatedBundles, entry_size(domain), *out);
    AppendField(kBundleDomain, domain.id, *out);
    AppendField(kBundleRoots, domain.roots_der, *out);
  }
  return wire::WipedPayload(std::move(out));
}

size_t HashOf(std::span<const WorkloadSvid> svids, TrustVersion version) {
  size_t hash = absl::Hash<TrustVersion>{}(version);
  for (const WorkloadSvid& svid : svids) {
    hash = absl::Hash<std::tuple<size_t, const void*, std::string>>{}({hash, svid.content.get(), svid.hint});
  }
  return hash;
}

}  // namespace

absl::string_view UniqueHints::Take(absl::string_view hint) {
  if (hint.empty() || std::find(taken_.begin(), taken_.end(), hint) != taken_.end()) return "";
  taken_.push_back(hint);
  return hint;
}

// By who owns them and not by their addresses: a key that is gone may have left its address to another one.
bool WorkloadResponses::Shared::IsOf(std::span<const WorkloadSvid> svids, TrustVersion trust) const {
  if (version != trust || contents.size() != svids.size()) return false;
  for (size_t i = 0; i < svids.size(); ++i) {
    if (hints[i] != svids[i].hint) return false;
    if (contents[i].owner_before(svids[i].content) || svids[i].content.owner_before(contents[i])) return false;
  }
  return true;
}

rpc::Payload WorkloadResponses::X509Svids(std::span<const WorkloadSvid> svids, const WorkloadBundles& bundles) {
  const size_t hash = HashOf(svids, bundles.version);
  MutexLock lock(mutex_);
  Shared& shared = shared_[hash];
  if (shared.IsOf(svids, bundles.version)) {
    if (rpc::Payload payload = shared.payload.lock()) return payload;
  }
  rpc::Payload made = SerialiseX509(svids, bundles);
  ++serialised_;
  shared = {};
  for (const WorkloadSvid& svid : svids) {
    shared.contents.push_back(svid.content);
    shared.hints.push_back(svid.hint);
  }
  shared.version = bundles.version;
  shared.payload = made;
  Tidy();
  return made;
}

void WorkloadResponses::Tidy() {
  if (shared_.size() < tidy_at_) return;
  absl::erase_if(shared_, [](const auto& one) { return one.second.payload.expired(); });
  tidy_at_ = std::max<size_t>(64, 2 * shared_.size());
}

uint64_t WorkloadResponses::serialised() const {
  MutexLock lock(mutex_);
  return serialised_;
}

rpc::Payload JwtSvidsPayload(std::span<const WorkloadJwt> svids) {
  const auto size = [](const WorkloadJwt& svid) {
    return FieldSize(svid.spiffe_id.size()) + FieldSize(svid.token.size()) + HintSize(svid.hint);
  };
  size_t bytes = 0;
  for (const WorkloadJwt& svid : svids) bytes += FieldSize(size(svid));
  std::unique_ptr<std::string> out = wire::Reserve(bytes);
  for (const WorkloadJwt& svid : svids) {
    AppendHead(kSvids, size(svid), *out);
    AppendField(kSpiffeId, svid.spiffe_id, *out);
    AppendField(kJwtToken, svid.token, *out);
    if (!svid.hint.empty()) AppendField(kJwtHint, svid.hint, *out);
  }
  return wire::WipedPayload(std::move(out));
}

}  // namespace meshca::sds
