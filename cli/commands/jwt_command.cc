// meshca jwt keys|rotate|taint|mint
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/secret.h"
#include "ca/base/status.h"
#include "cli/client/secret_file.h"
#include "cli/commands/commands.h"
#include "cli/commands/durations.h"
#include "cli/commands/subcommand.h"
#include "cli/rotation/rotation_view.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"
#include "cli/terminal/table.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

struct JwtKeysOptions {
  bool all = false;
};

struct MintOptions {
  std::string spiffe_id;
  std::vector<std::string> audiences;
  std::string ttl;
  std::string out_file;
};

std::string StateText(const v1::JwtKeys& keys, const v1::JwtKey& key) {
  if (key.tainted()) return absl::StrCat(key.state(), ", tainted");
  return key.key_id() == keys.signing_key_id() ? absl::StrCat(key.state(), ", signs") : key.state();
}

// Whom the prepared key waits for, a line each, in the words of a rotation of the root.
void PrintLaggards(const v1::JwtKeys& keys) {
  v1::RotationStatus of_root;
  of_root.set_step("distribute");
  *of_root.mutable_now() = keys.now();
  for (const v1::JwtKey& key : keys.keys()) {
    if (key.state() == "prepared") of_root.set_bundle_sequence(key.published_sequence());
  }
  for (const v1::Laggard& laggard : keys.laggards()) {
    Out("  %s\n", LaggardLine(laggard, of_root));
    if (const std::string advice = LaggardAdvice(laggard); !advice.empty()) Out("    %s\n", advice);
  }
}

void PrintKeys(const Session& session, const v1::JwtKeys& keys) {
  session.Print(keys, [&] {
    {
      Table table({"KEY ID (RFC 7638 THUMBPRINT)", "STATE", "SINCE BUNDLE", "CREATED (UTC)", "SIGNED FROM", "UNTIL"},
                  stdout);
      for (const v1::JwtKey& key : keys.keys()) {
        table.Add({key.key_id(), StateText(keys, key), std::to_string(key.published_sequence()),
                   ShowTime(key, "created_at"), ShowTime(key, "activated_at"),
                   ShowTime(key, key.has_replaced_at() ? "replaced_at" : "retired_at")});
      }
    }
    if (!keys.why_not_signing().empty()) Out("no JWT-SVID can be signed: %s\n", keys.why_not_signing());
    if (!keys.frozen().empty()) Out("frozen: %s\n", keys.frozen());
    if (!keys.error().empty()) Out("the last step failed: %s\n", keys.error());
    if (!keys.waiting_for().empty()) Out("waits: %s\n", keys.waiting_for());
    PrintLaggards(keys);
    if (keys.has_next_rotation()) Out("the next key comes by itself %s UTC\n", ShowTime(keys, "next_rotation"));
  });
}

void BindJwtKeys(CLI::App& app, JwtKeysOptions& options) { app.add_flag("--all", options.all, "Retired keys too"); }

absl::Status ListJwtKeys(Session& session, JwtKeysOptions& options) {
  v1::ListJwtKeysRequest request;
  request.set_include_retired(options.all);
  v1::JwtKeys keys;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("ListJwtKeys", request, keys));
  PrintKeys(session, keys);
  return absl::OkStatus();
}

absl::Status RotateJwtKeys(Session& session) {
  v1::JwtKeys keys;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("RotateJwtKeys", v1::RotateJwtKeysRequest(), keys));
  PrintKeys(session, keys);
  Err("the next key is published, and signs by itself when everybody who takes JWT keys holds it\n");
  return absl::OkStatus();
}

absl::Status TaintJwtKey(Session& session, const std::string& key_id) {
  v1::TaintJwtKeyRequest request;
  request.set_key_id(key_id);
  v1::JwtKeys keys;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("TaintJwtKey", request, keys));
  PrintKeys(session, keys);
  Err("it has left the trust bundle: whoever has that bundle believes no token that it signed\n");
  return absl::OkStatus();
}

void BindMint(CLI::App& app, MintOptions& options) {
  app.add_option("SPIFFE_ID", options.spiffe_id, "The identity that the token shows")->required();
  app.add_option("--audience", options.audiences, "Whom the token is for; several may be given")
      ->type_name("TEXT")
      ->required()
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--ttl", options.ttl, "How long it is good: 30s, 5m at most (default 5m)")->type_name("DURATION");
  app.add_option("--out", options.out_file, "Write it to this file, which only you can read, instead of printing it")
      ->type_name("FILE");
}

// The token alone is on stdout, for a pipe.
absl::Status MintJwt(Session& session, MintOptions& options) {
  v1::MintJwtRequest request;
  request.set_spiffe_id(options.spiffe_id);
  for (const std::string& audience : options.audiences) request.add_audiences(audience);
  if (!options.ttl.empty()) MESHCA_RETURN_IF_ERROR(ReadDuration("--ttl", options.ttl, *request.mutable_ttl()));
  if (options.out_file.empty()) KeepOutputPrivate();
  v1::MintJwtResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("MintJwt", request, response));
  const std::string until = ShowTime(response, "expires_at");
  if (!options.out_file.empty()) {
    const absl::Status written = WriteSecretFile(options.out_file, response.token());
    Wipe(*response.mutable_token());
    MESHCA_RETURN_IF_ERROR(written);
    session.Print(response, [] {});
    Err("good until %s UTC, in %s\n", until, options.out_file);
    return absl::OkStatus();
  }
  session.Print(response, [&] { Out("%s\n", response.token()); });
  Wipe(*response.mutable_token());
  // Where the token goes into a pipe nobody is waiting for advice.
  if (::isatty(STDOUT_FILENO)) Err("good until %s UTC\n", until);
  return absl::OkStatus();
}

}  // namespace

void AddJwt(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "jwt", "JWT-SVIDs: the keys that sign them, and tokens by hand");
  AddVerb<JwtKeysOptions>(*noun, session, "keys", "The keys, their states, and whom the next one waits for",
                          BindJwtKeys, ListJwtKeys);
  AddVerb(*noun, session, "rotate", "Make the next key; it signs when every consumer of JWT keys holds it",
          RotateJwtKeys);
  AddIdVerb(*noun, session, "taint", "A key is taken for stolen: nothing trusts it any more, another one signs",
            {"KID", "The key's id as `meshca jwt keys` shows it, or its first 8 characters"}, TaintJwtKey);
  AddVerb<MintOptions>(*noun, session, "mint", "A JWT-SVID of any identity; audited", BindMint, MintJwt);
}

}  // namespace meshca::cli
