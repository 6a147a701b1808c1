#include "cli/client/secret_view.h"

#include "absl/strings/str_cat.h"
#include "ca/base/secret.h"
#include "ca/base/status.h"
#include "ca/x509/certificate.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.pb.h"

namespace meshca::cli {
namespace {

namespace tls = ::envoy::extensions::transport_sockets::tls::v3;

std::string TextOf(const envoy::config::core::v3::DataSource& source) {
  return source.inline_bytes().empty() ? source.inline_string() : source.inline_bytes();
}

absl::StatusOr<SecretView::Roots> ReadRoots(const std::string& trust_domain, const std::string& pem) {
  SecretView::Roots roots;
  roots.trust_domain = trust_domain;
  roots.pem = pem;
  MESHCA_ASSIGN_OR_RETURN(const auto certificates, Certificate::ParseAll(Pem(pem)));
  for (const Certificate& certificate : certificates) roots.fingerprints.push_back(certificate.spki_sha256_hex());
  return roots;
}

absl::Status ReadCertificate(tls::TlsCertificate& certificate, SecretView& view) {
  view.kind = "certificate";
  auto& key = *certificate.mutable_private_key();
  view.has_private_key = !TextOf(key).empty();
  if (key.specifier_case() == envoy::config::core::v3::DataSource::kInlineBytes) Wipe(*key.mutable_inline_bytes());
  if (key.specifier_case() == envoy::config::core::v3::DataSource::kInlineString) Wipe(*key.mutable_inline_string());
  view.chain_pem = TextOf(certificate.certificate_chain());
  MESHCA_ASSIGN_OR_RETURN(const auto chain, Certificate::ParseAll(Pem(view.chain_pem)));
  view.serial = chain.front().serial_hex();
  view.not_after = chain.front().validity().not_after;
  const auto id = chain.front().spiffe_id();
  if (id.ok()) view.spiffe_id = id->uri();
  return absl::OkStatus();
}

absl::Status ReadValidation(const tls::CertificateValidationContext& context, SecretView& view) {
  if (!context.has_custom_validator_config()) {
    view.kind = "roots";
    MESHCA_ASSIGN_OR_RETURN(auto roots, ReadRoots("", TextOf(context.trusted_ca())));
    view.roots.push_back(std::move(roots));
    return absl::OkStatus();
  }
  view.kind = "bundles";
  tls::SPIFFECertValidatorConfig config;
  if (!config.ParseFromString(context.custom_validator_config().typed_config().value())) {
    return absl::InvalidArgumentError("custom validator is no SPIFFECertValidatorConfig");
  }
  for (const auto& domain : config.trust_domains()) {
    MESHCA_ASSIGN_OR_RETURN(auto roots, ReadRoots(domain.name(), TextOf(domain.trust_bundle())));
    view.roots.push_back(std::move(roots));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SecretView> ReadSecretView(absl::string_view bytes) {
  tls::Secret secret;
  if (!secret.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("resource is no Secret");
  }
  SecretView view;
  view.name = secret.name();
  absl::Status status;
  switch (secret.type_case()) {
    case tls::Secret::kTlsCertificate: status = ReadCertificate(*secret.mutable_tls_certificate(), view); break;
    case tls::Secret::kValidationContext: status = ReadValidation(secret.validation_context(), view); break;
    default: status = absl::InvalidArgumentError("neither a certificate nor roots");
  }
  if (!status.ok()) return Annotate(status, absl::StrCat("secret \"", view.name, "\""));
  return view;
}

}  // namespace meshca::cli
