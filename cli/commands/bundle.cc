// meshca bundle show
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/subcommand.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

struct Options {
  std::string format;
};

void Bind(CLI::App& app, Options& options) {
  app.add_option("--format", options.format, "pem: a CA file; spiffe: the JWK set that other trust domains read")
      ->check(CLI::IsMember({"pem", "spiffe"}))
      ->type_name("FORMAT");
}

absl::Status Show(Session& session, Options& options) {
  v1::Bundle bundle;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("GetBundle", v1::GetBundleRequest(), bundle));
  if (options.format == "pem") {
    std::fputs(bundle.roots_pem().c_str(), stdout);
  } else if (options.format == "spiffe") {
    std::printf("%s\n", bundle.spiffe_json().c_str());
  } else {
    session.Print(bundle, [&] {
      std::printf("trust domain  %s\nversion       %llu\n", bundle.trust_domain().c_str(),
                  static_cast<unsigned long long>(bundle.sequence_number()));
      for (const std::string& id : bundle.root_ids()) std::printf("root          %s\n", id.c_str());
    });
  }
  return absl::OkStatus();
}

}  // namespace

void AddBundle(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "bundle", "What this trust domain trusts");
  AddVerb<Options>(*noun, session, "show", "The trust bundle of this moment", Bind, Show);
}

}  // namespace meshca::cli
