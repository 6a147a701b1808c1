// What a server keeps between two runs, opened: key-encryption key, database, authorities, registration entries.
#ifndef MESHCA_CLI_SERVER_SERVER_STATE_H_
#define MESHCA_CLI_SERVER_SERVER_STATE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "ca/authn/entry_cache.h"
#include "ca/authority/authority_manager.h"
#include "ca/authority/key_encryption.h"
#include "ca/x509/key_store.h"
#include "cli/config/resolve.h"
#include "storage/store.h"

namespace meshca::cli {

// In order of construction: each part is used by those below it.
struct ServerState {
  std::unique_ptr<const KeyEncryption> key_encryption;
  std::unique_ptr<KeyStore> keys;
  std::unique_ptr<storage::Store> store;
  std::unique_ptr<AuthorityManager> authorities;  // started
  EntryCache entries;                             // loaded
  bool is_new = false;                            // this start made the trust domain
};

// The database's place below the state directory.
std::string DatabasePath(const config::ResolvedConfig& config);

// Opens the key-encryption key alone. `create`: makes it where it is missing and there is no database yet; a missing
// key beside a database is NotFound and says that the database cannot be read without it.
absl::StatusOr<KeyEncryption> OpenKeyEncryption(const config::ResolvedConfig& config, bool create);

// Opens all of it, making what a fresh state directory lacks. Errors: those of the parts; each names its file and what
// to do.
absl::StatusOr<std::unique_ptr<ServerState>> OpenServerState(const config::ResolvedConfig& config);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_SERVER_STATE_H_
