// meshca kek create
#include <unistd.h>

#include <cstdio>
#include <string>

#include "ca/authority/key_encryption.h"
#include "ca/base/file.h"
#include "ca/base/status.h"
#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"

namespace meshca::cli {
namespace {

struct CreateKekOptions {
  std::string out_file;
};

void BindCreate(CLI::App& app, CreateKekOptions& options) {
  app.add_option("--out", options.out_file, "File for the key, mode 0600; it must not be there yet; absent: stdout")
      ->type_name("FILE");
  app.footer(
      "Everything that the CA keeps is sealed by this key: whoever loses it has lost the CA, so keep a copy in a safe "
      "place, and none beside the database's backups. `meshca serve` makes one by itself where --kek-file is not there "
      "yet; in Kubernetes it comes from a Secret that outlives the release:\n"
      "  meshca kek create --out kek\n"
      "  kubectl -n meshca-system create secret generic meshca-kek --from-file=kek");
}

absl::Status RunCreate(Session&, CreateKekOptions& options) {
  if (options.out_file.empty() && ::isatty(STDOUT_FILENO) == 1) {
    return UsageError("the key is no text for a terminal: --out FILE, or a pipe");
  }
  MESHCA_ASSIGN_OR_RETURN(const SecretBytes key, KeyEncryption::MakeKey());
  if (!options.out_file.empty()) return CreatePrivateFile(options.out_file, key.reveal());
  KeepOutputPrivate();
  PutRaw(stdout, key.reveal());
  return absl::OkStatus();
}

}  // namespace

void AddKek(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "kek", "The key that seals what the CA keeps");
  AddVerb<CreateKekOptions>(*noun, session, "create", "Make a new key, for a server that has no database yet",
                            BindCreate, RunCreate);
}

}  // namespace meshca::cli
