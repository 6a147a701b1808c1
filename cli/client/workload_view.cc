#include "cli/client/workload_view.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/secret.h"
#include "ca/base/status.h"
#include "ca/json/json_value.h"
#include "ca/x509/encoding.h"
#include "spiffe/workload/workload.pb.h"

namespace meshca::cli {
namespace {

// How many bytes the DER value at the front of `der` has (X.690 §8.1.3); 0: none fits in.
size_t DerSize(absl::string_view der) {
  if (der.size() < 2) return 0;
  size_t content = static_cast<uint8_t>(der[1]);
  size_t head = 2;
  if (content >= 0x80) {
    const size_t length_bytes = content & 0x7f;
    if (length_bytes == 0 || length_bytes > 4 || der.size() < head + length_bytes) return 0;
    content = 0;
    for (size_t i = 0; i < length_bytes; ++i) content = content << 8 | static_cast<uint8_t>(der[head + i]);
    head += length_bytes;
  }
  return content <= der.size() - head ? head + content : 0;
}

absl::StatusOr<WorkloadBundleView> ReadBundle(const std::string& trust_domain, const std::string& der) {
  WorkloadBundleView view;
  view.trust_domain = trust_domain;
  absl::StatusOr<std::vector<Certificate>> roots = ReadCertificates(der);
  if (!roots.ok()) return Annotate(roots.status(), absl::StrCat("bundle of ", trust_domain));
  for (const Certificate& root : *roots) {
    view.fingerprints.push_back(root.spki_sha256_hex());
    AppendPem(kPemCertificate, root.der().bytes(), view.pem);
  }
  return view;
}

// Of a map, whose order is anybody's.
absl::StatusOr<std::vector<WorkloadBundleView>> ReadBundles(const std::map<std::string, std::string>& bundles) {
  std::vector<WorkloadBundleView> views;
  for (const auto& [trust_domain, der] : bundles) {
    MESHCA_ASSIGN_OR_RETURN(WorkloadBundleView view, ReadBundle(trust_domain, der));
    views.push_back(std::move(view));
  }
  return views;
}

}  // namespace

absl::StatusOr<std::vector<Certificate>> ReadCertificates(absl::string_view der) {
  std::vector<Certificate> certificates;
  while (!der.empty()) {
    const size_t size = DerSize(der);
    if (size == 0) return absl::InvalidArgumentError("certificates in DER: one ends too early");
    MESHCA_ASSIGN_OR_RETURN(Certificate certificate, Certificate::Parse(Der::Copy(der.substr(0, size))));
    certificates.push_back(std::move(certificate));
    der.remove_prefix(size);
  }
  return certificates;
}

absl::StatusOr<WorkloadX509View> ReadWorkloadX509(X509SVIDResponse& response) {
  WorkloadX509View view;
  std::map<std::string, std::string> bundles(response.federated_bundles().begin(), response.federated_bundles().end());
  for (X509SVID& svid : *response.mutable_svids()) {
    WorkloadSvidView& shown = view.svids.emplace_back();
    shown.has_private_key = !svid.x509_svid_key().empty();
    Wipe(*svid.mutable_x509_svid_key());
  }
  for (int i = 0; i < response.svids_size(); ++i) {
    const X509SVID& svid = response.svids(i);
    WorkloadSvidView& shown = view.svids[static_cast<size_t>(i)];
    shown.spiffe_id = svid.spiffe_id();
    shown.hint = svid.hint();
    absl::StatusOr<std::vector<Certificate>> chain = ReadCertificates(svid.x509_svid());
    if (!chain.ok()) return Annotate(chain.status(), absl::StrCat("X.509-SVID of ", svid.spiffe_id()));
    if (chain->empty())
      return absl::InvalidArgumentError(absl::StrCat(svid.spiffe_id(), " came without a certificate"));
    shown.serial = chain->front().serial_hex();
    shown.not_after = chain->front().validity().not_after;
    for (const Certificate& certificate : *chain)
      AppendPem(kPemCertificate, certificate.der().bytes(), shown.chain_pem);
    const absl::StatusOr<SpiffeId> id = chain->front().spiffe_id();
    MESHCA_RETURN_IF_ERROR(id.status());
    bundles[id->trust_domain().Id()] = svid.bundle();
  }
  MESHCA_ASSIGN_OR_RETURN(view.bundles, ReadBundles(bundles));
  return view;
}

absl::StatusOr<std::vector<WorkloadBundleView>> ReadWorkloadBundles(const X509BundlesResponse& response) {
  return ReadBundles({response.bundles().begin(), response.bundles().end()});
}

absl::Status AddJwtKeys(const std::string& trust_domain, const std::string& jwks,
                        std::vector<WorkloadBundleView>& bundles) {
  auto bundle = std::find_if(bundles.begin(), bundles.end(),
                             [&](const WorkloadBundleView& one) { return one.trust_domain == trust_domain; });
  if (bundle == bundles.end()) {
    bundle = bundles.emplace(bundles.end());
    bundle->trust_domain = trust_domain;
  }
  absl::StatusOr<JsonValue> set = ParseJson(jwks);
  const JsonValue* const keys = set.ok() ? set->Find("keys") : nullptr;
  if (keys == nullptr || keys->kind != JsonValue::Kind::kArray) {
    return absl::InvalidArgumentError(absl::StrCat("JWT bundle of ", trust_domain, ": no JWK set"));
  }
  bundle->jwks = jwks;
  for (const JsonValue& key : keys->items) bundle->jwt_key_ids.emplace_back(key.FindText("kid"));
  return absl::OkStatus();
}

}  // namespace meshca::cli
