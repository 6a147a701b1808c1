#include "sds/secret_snapshot.h"

#include <openssl/sha.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/x509/encoding.h"

namespace meshca::sds {
namespace {

using wire::AppendField;
using wire::AppendHead;
using wire::FieldSize;

// Field numbers of envoy/extensions/transport_sockets/tls/v3 and envoy/config/core/v3.
constexpr int kSecretTlsCertificate = 2, kSecretValidationContext = 4;
constexpr int kTlsCertificateChain = 1, kTlsPrivateKey = 2;
constexpr int kValidationTrustedCa = 1, kValidationCustomConfig = 12;
constexpr int kDataSourceInlineBytes = 2;
constexpr int kTypedConfigName = 1, kTypedConfigAny = 2;
constexpr int kSecretAnyTypeUrl = 1, kSecretAnyValue = 2;
constexpr int kSpiffeTrustDomains = 1, kSpiffeName = 1, kSpiffeBundle = 2;

constexpr absl::string_view kSpiffeValidatorName = "envoy.tls.cert_validator.spiffe";
constexpr absl::string_view kSpiffeValidatorTypeUrl =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";

// A DataSource with inline_bytes, as the field `number`.
size_t DataSourceSize(size_t bytes) { return FieldSize(FieldSize(bytes)); }
void AppendDataSource(int number, absl::string_view bytes, std::string& out) {
  AppendHead(number, FieldSize(bytes.size()), out);
  AppendField(kDataSourceInlineBytes, bytes, out);
}

// Names of one content that are shared: more than any mesh uses.
constexpr size_t kNamesShared = 16;

std::string Sha256(absl::string_view bytes) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), reinterpret_cast<uint8_t*>(digest.data()));
  return digest;
}

// A digest of the digest, so that the body, which may hold a key, is not copied behind the name.
std::string VersionOf(absl::string_view name, absl::string_view body) {
  return HexLower(Sha256(absl::StrCat(Sha256(body), name)).substr(0, 16));
}

}  // namespace

SecretContent::Ptr SecretContent::OfIdentity(Identity identity, const SecretBytes& key_pem,
                                             absl::string_view chain_pem) {
  std::shared_ptr<SecretContent> content(new SecretContent);
  content->kind_ = SecretKind::kIdentity;
  content->identity_ = std::move(identity);
  const size_t bytes = DataSourceSize(chain_pem.size()) + DataSourceSize(key_pem.size());
  content->body_.reserve(FieldSize(bytes));
  AppendHead(kSecretTlsCertificate, bytes, content->body_);
  AppendDataSource(kTlsCertificateChain, chain_pem, content->body_);
  content->chain_at_ = content->body_.size() - chain_pem.size();
  content->chain_bytes_ = chain_pem.size();
  AppendDataSource(kTlsPrivateKey, key_pem.reveal(), content->body_);
  content->key_bytes_ = key_pem.size();
  return content;
}

SecretContent::Ptr SecretContent::OfBundle(const DomainTrust& domain, TrustVersion version) {
  std::shared_ptr<SecretContent> content(new SecretContent);
  content->kind_ = SecretKind::kBundle;
  content->trust_version_ = version;
  const std::string roots = domain.RootsPem();
  AppendHead(kSecretValidationContext, DataSourceSize(roots.size()), content->body_);
  AppendDataSource(kValidationTrustedCa, roots, content->body_);
  return content;
}

SecretContent::Ptr SecretContent::OfAllBundles(const Trust& trust) {
  std::shared_ptr<SecretContent> content(new SecretContent);
  content->kind_ = SecretKind::kAllBundles;
  content->trust_version_ = trust.version;
  std::string validator;
  for (const DomainTrust& domain : trust.domains) {
    std::string entry;
    AppendField(kSpiffeName, domain.trust_domain.name(), entry);
    AppendDataSource(kSpiffeBundle, domain.RootsPem(), entry);
    AppendField(kSpiffeTrustDomains, entry, validator);
  }
  std::string any;
  AppendField(kSecretAnyTypeUrl, kSpiffeValidatorTypeUrl, any);
  AppendField(kSecretAnyValue, validator, any);
  std::string typed;
  AppendField(kTypedConfigName, kSpiffeValidatorName, typed);
  AppendField(kTypedConfigAny, any, typed);
  std::string context;
  AppendField(kValidationCustomConfig, typed, context);
  AppendField(kSecretValidationContext, context, content->body_);
  return content;
}

SecretContent::~SecretContent() {
  if (kind_ == SecretKind::kIdentity) Wipe(body_);
}

std::shared_ptr<const SecretSnapshot> SecretContent::Named(absl::string_view name) const {
  MutexLock lock(mutex_);
  std::erase_if(named_, [](const auto& weak) { return weak.expired(); });
  for (const std::weak_ptr<const SecretSnapshot>& weak : named_) {
    std::shared_ptr<const SecretSnapshot> snapshot = weak.lock();
    if (snapshot != nullptr && snapshot->name() == name) return snapshot;
  }
  auto snapshot = std::make_shared<const SecretSnapshot>(shared_from_this(), name);
  // SPIFFE IDs have thousands of spellings: a search through all of them would be everybody's.
  if (named_.size() < kNamesShared) named_.push_back(snapshot);
  return snapshot;
}

SecretSnapshot::SecretSnapshot(SecretContent::Ptr content, absl::string_view name)
    : content_(std::move(content)), name_(name), version_(VersionOf(name, content_->body())) {}

NumberedResponse SecretSnapshot::Alone(Protocol protocol) const {
  MutexLock lock(mutex_);
  Kept& kept = kept_[static_cast<int>(protocol)];
  if (rpc::Payload payload = kept.strong ? kept.strong : kept.weak.lock()) return {kept.nonce, std::move(payload)};
  const SecretSnapshot* const self = this;
  NumberedResponse made = MakeResponse(protocol, {&self, 1});
  kept.nonce = made.nonce;
  if (content_->kind() == SecretKind::kIdentity) {
    kept.weak = made.payload;
  } else {
    kept.strong = made.payload;
  }
  return made;
}

}  // namespace meshca::sds
