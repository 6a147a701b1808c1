// Authorities, roots and the trust bundle.
#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/authority/authority_lookup.h"
#include "ca/authority/exported_authority.h"
#include "ca/authority/spiffe_bundle.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"
#include "ca/service/admin_methods.h"
#include "ca/service/proto_time.h"
#include "ca/x509/csr.h"

namespace meshca::admin_methods {
namespace {

// How often a foreign trust domain should ask again (SPIFFE Trust Domain and Bundle §4.1.2).
constexpr absl::Duration kRefreshHint = absl::Minutes(5);

constexpr size_t kOriginBytesMax = 1024;

uint64_t CountOf(const std::map<std::string, uint64_t>& live, const std::string& id) {
  const auto found = live.find(id);
  return found == live.end() ? 0 : found->second;
}

// Live leaves under a root are those of every issuing authority that chains to it.
uint64_t LiveUnder(const SigningAuthority& authority, const AuthoritySnapshot& snapshot,
                   const std::map<std::string, uint64_t>& live) {
  if (authority.role != AuthorityRole::kRoot) return CountOf(live, authority.id);
  uint64_t sum = 0;
  for (const SigningAuthority& other : snapshot.authorities) {
    if (other.root_id == authority.id) sum += CountOf(live, other.id);
  }
  return sum;
}

// The files of an import: in a folder, or in the request itself.
absl::StatusOr<SetFiles> FilesOf(const v1::ImportRootRequest& request) {
  if (request.files().empty()) {
    if (!absl::StartsWith(request.folder(), "/")) {
      return absl::InvalidArgumentError(absl::StrCat("folder \"", request.folder(), "\" is not an absolute path"));
    }
    return SetFiles(request.folder());
  }
  if (!request.folder().empty()) return absl::InvalidArgumentError("folder and files: give one of them");
  if (request.origin().empty() || request.origin().size() > kOriginBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("origin: has ", request.origin().size(), " bytes, and 1 to ", kOriginBytesMax, " are expected"));
  }
  SetFiles::Contents contents;
  for (const v1::ImportedFile& file : request.files()) {
    if (!contents.emplace(file.name(), SecretBytes::CopyOf(file.content())).second) {
      return absl::InvalidArgumentError(absl::StrCat("files: \"", Printable(file.name()), "\" stands twice"));
    }
  }
  return SetFiles(Printable(request.origin()), std::move(contents));
}

}  // namespace

v1::Authority AuthorityMessage(const SigningAuthority& authority, uint64_t live_certificates) {
  v1::Authority message;
  message.set_id(authority.id);
  message.set_role(std::string(AuthorityRoleName(authority.role)));
  message.set_state(std::string(AuthorityStateName(authority.state)));
  message.set_tainted(authority.tainted);
  message.set_subject(authority.certificate.subject());
  message.set_root_id(authority.root_id);
  message.set_serial(authority.certificate.serial_hex());
  SetTime(authority.certificate.validity().not_before, [&] { return message.mutable_not_before(); });
  SetTime(authority.certificate.validity().not_after, [&] { return message.mutable_not_after(); });
  message.set_key_type(std::string(KeyTypeName(authority.certificate.public_key().type())));
  message.set_live_certificates(live_certificates);
  message.set_certificate_pem(authority.certificate.pem().text());
  message.set_exported(authority.exported);
  return message;
}

absl::StatusOr<v1::ListAuthoritiesResponse> ListAuthorities(const AdminContext& context, const std::string& actor,
                                                            const v1::ListAuthoritiesRequest& request) {
  const auto snapshot = context.authorities.Current();
  if (snapshot == nullptr) return absl::UnavailableError("the CA is starting");
  MESHCA_ASSIGN_OR_RETURN(const auto live, context.authority_store.CountLiveLeaves(context.clock.Now()));
  v1::ListAuthoritiesResponse response;
  response.set_trust_domain(context.facts.trust_domain.name());
  bool root_listed = false;
  const absl::StatusOr<SigningAuthority> root = ActiveRoot(*snapshot);
  for (const AuthorityRole role : {AuthorityRole::kRoot, AuthorityRole::kIssuing}) {
    for (const SigningAuthority& authority : snapshot->authorities) {
      if (authority.role != role) continue;
      if (authority.state == AuthorityState::kRetired && !request.include_retired()) continue;
      root_listed = root_listed || (root.ok() && authority.id == root->id);
      *response.add_authorities() = AuthorityMessage(authority, LiveUnder(authority, *snapshot, live));
    }
    if (role == AuthorityRole::kRoot && root.ok() && !root_listed) {
      *response.add_authorities() = AuthorityMessage(*root, LiveUnder(*root, *snapshot, live));
    }
  }
  return response;
}

absl::StatusOr<v1::ListAuthoritiesResponse> ImportRoot(const AdminContext& context, const std::string& actor,
                                                       const v1::ImportRootRequest& request) {
  MESHCA_ASSIGN_OR_RETURN(const SetFiles files, FilesOf(request));
  if (!context.import_root) return absl::UnimplementedError("this server does not import authorities");
  ImportOptions options;
  options.force = request.force();
  options.renew_unrecorded = request.renew_unrecorded();
  MESHCA_RETURN_IF_ERROR(context.import_root(files, actor, options));
  return ListAuthorities(context, actor, v1::ListAuthoritiesRequest());
}

absl::StatusOr<v1::ExportAuthorityResponse> ExportAuthority(const AdminContext& context, const std::string& actor,
                                                            const v1::ExportAuthorityRequest& request) {
  if (!context.export_authority) return absl::UnimplementedError("this server does not export authorities");
  absl::StatusOr<Csr> csr = Csr::Parse(request.csr());
  if (!csr.ok()) return Annotate(csr.status(), "csr");
  ExportRequest wanted = {csr->public_key(), absl::ZeroDuration()};
  if (request.has_lifetime()) {
    wanted.lifetime = ToDuration(request.lifetime());
    if (wanted.lifetime <= absl::ZeroDuration()) return absl::InvalidArgumentError("lifetime: must be above 0");
  }
  MESHCA_ASSIGN_OR_RETURN(const ExportedSet exported, context.export_authority(wanted, actor));
  v1::ExportAuthorityResponse response;
  *response.mutable_authority() = AuthorityMessage(exported.authority, 0);
  for (const Certificate& root : exported.roots) response.mutable_roots_pem()->append(root.pem().text());
  return response;
}

absl::StatusOr<v1::Bundle> GetBundle(const AdminContext& context, const std::string& actor,
                                     const v1::GetBundleRequest& request) {
  const auto snapshot = context.authorities.Current();
  if (snapshot == nullptr || snapshot->bundle == nullptr) return absl::UnavailableError("the CA is starting");
  const TrustBundle& bundle = *snapshot->bundle;
  v1::Bundle message;
  message.set_trust_domain(bundle.trust_domain.name());
  message.set_sequence_number(bundle.sequence_number);
  for (const Certificate& root : bundle.roots) message.add_root_ids(root.spki_sha256_hex());
  for (const JwtKey& key : bundle.jwt_keys) message.add_jwt_key_ids(key.key_id);
  message.set_roots_pem(bundle.ToPem());
  MESHCA_ASSIGN_OR_RETURN(*message.mutable_spiffe_json(), SpiffeBundleJson(bundle, kRefreshHint));
  return message;
}

}  // namespace meshca::admin_methods
