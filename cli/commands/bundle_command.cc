// meshca bundle show
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

struct BundleOptions {
  std::string format;
};

void BindBundle(CLI::App& app, BundleOptions& options) {
  app.add_option("--format", options.format, "pem: a CA file; spiffe: the JWK set that other trust domains read")
      ->check(CLI::IsMember({"pem", "spiffe"}))
      ->type_name("FORMAT");
}

absl::Status ShowBundle(Session& session, BundleOptions& options) {
  v1::Bundle bundle;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("GetBundle", v1::GetBundleRequest(), bundle));
  if (options.format == "pem") {
    PutText(stdout, bundle.roots_pem());
  } else if (options.format == "spiffe") {
    Out("%s\n", bundle.spiffe_json());
  } else {
    session.Print(bundle, [&] {
      Out("trust domain  %s\nversion       %llu\n", bundle.trust_domain(),
          static_cast<unsigned long long>(bundle.sequence_number()));
      for (const std::string& id : bundle.root_ids()) Out("root          %s\n", id);
      for (const std::string& id : bundle.jwt_key_ids()) Out("jwt key       %s\n", id);
    });
  }
  return absl::OkStatus();
}

}  // namespace

void AddBundle(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "bundle", "What this trust domain trusts");
  AddVerb<BundleOptions>(*noun, session, "show", "The trust bundle of this moment", BindBundle, ShowBundle);
}

}  // namespace meshca::cli
