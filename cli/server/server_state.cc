#include "cli/server/server_state.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authority/sealed_key_store.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/source_date.h"
#include "ca/base/status.h"
#include "cli/config/convert.h"
#include "storage/sqlite/sqlite_store.h"
#include "storage/sqlite/state_folder.h"

namespace meshca::cli {
namespace {

absl::StatusOr<AuthorityOptions> AuthorityOptionsOf(const config::v1::Config& values) {
  AuthorityOptions options;
  MESHCA_ASSIGN_OR_RETURN(options.trust_domain, TrustDomain::Parse(values.trust_domain()));
  options.key_type = config::ToKeyType(values.authority().key_type());
  options.root_lifetime = config::ToDuration(values.authority().root_lifetime());
  options.issuing_lifetime = config::ToDuration(values.authority().issuing_lifetime());
  options.leaf_lifetime_max = config::ToDuration(values.leaf().lifetime_max());
  options.earliest_first_start = SourceDate();
  options.plugged_in_folder = values.authority().plugged_in_ca();
  return options;
}

}  // namespace

std::string DatabasePath(const config::ResolvedConfig& config) {
  return absl::StrCat(config.values.state_dir(), "/meshca.db");
}

absl::StatusOr<KeyEncryption> OpenKeyEncryption(const config::ResolvedConfig& config, bool create) {
  const std::string& path = config.values.kek_file();
  std::error_code ignored;
  const bool has_database = std::filesystem::exists(DatabasePath(config), ignored);
  absl::StatusOr<KeyEncryption> keys = KeyEncryption::FromFile(path, create && !has_database);
  if (absl::IsNotFound(keys.status()) && !has_database && !create) {
    return absl::NotFoundError(absl::StrCat("the key-encryption key ", path,
                                            " is not there, and a backup is of no use without the one it was made "
                                            "with: put your copy of that file there first (chmod 600), or say where it "
                                            "is with --kek-file"));
  }
  if (keys.ok() || !has_database || keys.status().code() != absl::StatusCode::kNotFound) return keys;
  return absl::NotFoundError(absl::StrCat("the key-encryption key ", path, " is gone, and the database ",
                                          DatabasePath(config),
                                          " cannot be used without it: put the file back, or say "
                                          "where it is with --kek-file"));
}

absl::StatusOr<std::unique_ptr<ServerState>> OpenServerState(const config::ResolvedConfig& config) {
  auto state = std::make_unique<ServerState>();
  MESHCA_RETURN_IF_ERROR(storage::PrepareFolder(DatabasePath(config)));
  MESHCA_ASSIGN_OR_RETURN(KeyEncryption keys, OpenKeyEncryption(config, /*create=*/true));
  state->key_encryption = std::make_unique<const KeyEncryption>(std::move(keys));
  state->keys = std::make_unique<SealedKeyStore>(*state->key_encryption);

  storage::SqliteOptions options;
  options.path = DatabasePath(config);
  options.keys = state->key_encryption.get();
  options.clock = &SystemClock();
  options.limits.writer.jobs_max[static_cast<size_t>(storage::WriteLane::kIssuance)] =
      config.values.storage().queue_records_max();
  MESHCA_ASSIGN_OR_RETURN(state->store, storage::OpenSqliteStore(options));

  MESHCA_ASSIGN_OR_RETURN(const AuthoritiesAndBundle stored, state->store->LoadAuthorities());
  state->is_new = stored.trust_domain.empty();
  MESHCA_ASSIGN_OR_RETURN(AuthorityOptions authority_options, AuthorityOptionsOf(config.values));
  MESHCA_ASSIGN_OR_RETURN(state->authorities, AuthorityManager::Create(std::move(authority_options), *state->store,
                                                                       *state->keys, SystemClock(), SystemEntropy()));
  MESHCA_RETURN_IF_ERROR(state->authorities->Start());
  MESHCA_RETURN_IF_ERROR(state->entries.Reload(*state->store));
  return state;
}

}  // namespace meshca::cli
