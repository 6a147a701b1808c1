#include "ca/server_secrets/server_secret.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ca/base/printable.h"
#include "ca/base/utc_text.h"
#include "ca/x509/digest.h"

namespace meshca {
namespace {

enum SecretField {
  kSecretCreated,
  kSecretType,
  kSecretImmutable,
  kSecretChain,
  kSecretKey,
  kSecretRoots,
  kSecretThereSince,
  kSecretManagedBy
};

// The keys that Kubernetes demands of this type are those of the layout.
constexpr char kTlsType[] = "kubernetes.io/tls";
// A Secret that was deleted and made again has a new creationTimestamp, and whoever had read the one before is no
// earlier for that.
constexpr char kThereSince[] = "meshca.io/there-since";

std::string FromBase64(absl::string_view text) {
  std::string bytes;
  if (!absl::Base64Unescape(text, &bytes)) Wipe(bytes);
  return bytes;
}

absl::Time FromRfc3339(absl::string_view text) {
  absl::Time time;
  std::string ignored;
  return absl::ParseTime(absl::RFC3339_full, text, &time, &ignored) ? time : absl::InfinitePast();
}

// Hashed by itself first, so that no byte moves from one part into the next.
std::string PartDigest(absl::string_view part) { return Sha256(part); }

}  // namespace

std::string SecretContent::Digest() const {
  return Sha256(absl::StrCat(PartDigest(chain_pem), PartDigest(key_pem.reveal()), PartDigest(roots_pem)));
}

std::vector<std::string> ServerSecretPaths() {
  return {"metadata.creationTimestamp",
          "type",
          "immutable",
          R"(data.tls\.crt)",
          R"(data.tls\.key)",
          R"(data.ca\.crt)",
          R"(metadata.annotations.meshca\.io/there-since)",
          R"(metadata.labels.app\.kubernetes\.io/managed-by)"};
}

SeenSecret ReadServerSecret(const kubernetes::PickedFields& object) {
  SeenSecret seen;
  seen.content.chain_pem = FromBase64(object.Text(kSecretChain));
  seen.content.key_pem = SecretBytes(FromBase64(object.Text(kSecretKey)));
  seen.content.roots_pem = FromBase64(object.Text(kSecretRoots));
  seen.type = std::string(object.Text(kSecretType));
  seen.immutable = object.Text(kSecretImmutable) == "true";
  seen.created = FromRfc3339(object.Text(kSecretCreated));
  const absl::Time annotated = FromRfc3339(object.Text(kSecretThereSince));
  const bool says_both = annotated != absl::InfinitePast() && seen.created != absl::InfinitePast();
  seen.there_since = says_both ? std::min(seen.created, annotated) : std::max(seen.created, annotated);
  seen.labelled = object.Text(kSecretManagedBy) == "meshca";
  return seen;
}

// One that is as old as the first needs no annotation.
bool SeenSecret::IsMarked(absl::Time since) const {
  return labelled && (since == absl::InfinitePast() || there_since == since);
}

kubernetes::ApiCall CallToWriteServerSecret(const ServerSecretName& secret, absl::string_view type,
                                            const SecretContent& content, absl::Time there_since) {
  std::string key = absl::Base64Escape(content.key_pem.reveal());
  const std::string annotations = there_since == absl::InfinitePast()
                                      ? ""
                                      : absl::StrCat(R"("annotations":{)", JsonString(kThereSince), ":",
                                                     JsonString(Rfc3339Text(there_since)), "},");
  std::string body = absl::StrCat(
      R"({"apiVersion":"v1","kind":"Secret","metadata":{"labels":{"app.kubernetes.io/managed-by":"meshca"},)",
      annotations, R"("name":)", JsonString(secret.name), R"(,"namespace":)", JsonString(secret.namespace_name),
      R"(},"type":)", JsonString(type.empty() ? absl::string_view(kTlsType) : type), R"(,"data":{"tls.crt":")",
      absl::Base64Escape(content.chain_pem), R"(","tls.key":")", key, R"(","ca.crt":")",
      absl::Base64Escape(content.roots_pem), R"("}})");
  Wipe(key);
  kubernetes::ApiCall call = kubernetes::CallToApply(kubernetes::Secrets(), secret.namespace_name, secret.name,
                                                     std::move(body), kubernetes::ApplyConflict::kForce);
  call.body_is_secret = true;
  call.granted_for = secret.name;
  return call;
}

}  // namespace meshca
