#include "cli/commands/config_options.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "absl/strings/str_cat.h"
#include "cli/config/flags.h"

namespace meshca::cli {

void ConfigOptions::AddTo(config::ConfigInput& input) const {
  for (const auto& [key, given] : values) {
    if (!given.empty()) input.flags[key] = given;
  }
  if (!file.empty()) input.config_file = file;
}

namespace {

constexpr char kGroup[] = "Configuration (also as environment variable and in the file)";

// What becomes of the keys that are global options already.
enum class GlobalKeys { kListed, kLeftOut };

void Bind(config::Program program, GlobalKeys global_keys, CLI::App& app, ConfigOptions& options) {
  for (const config::ConfigFlag& flag : config::ConfigFlags(program)) {
    const bool is_global = flag.key == "state_dir" || flag.key == "admin_socket" || flag.key == "api_socket";
    if (is_global && global_keys == GlobalKeys::kLeftOut) continue;
    if (app.get_option_no_throw(flag.flag) != nullptr) continue;  // both configurations have it
    std::vector<std::string>& values = options.values[flag.key];
    const std::string help = absl::StrCat(flag.help, " (", flag.environment, ")");
    CLI::Option* option = app.add_option(flag.flag, values, help);
    option->group(kGroup)->type_name(flag.type);
    // A flag that is given once is one value; only lists may stand several times.
    if (!flag.repeated) option->take_last()->expected(1);
    if (flag.repeated) option->allow_extra_args(false);
    if (flag.is_bool) option->expected(0, 1)->default_str("")->take_last();
  }
}

}  // namespace

void BindConfigOptions(config::Program program, CLI::App& app, ConfigOptions& options) {
  app.add_option("--config", options.file,
                 absl::StrCat("Configuration file, YAML (", config::ConfigFileVariable(program), ")"))
      ->type_name("FILE")
      ->group(kGroup);
  Bind(program, GlobalKeys::kListed, app, options);
}

void BindAllConfigOptions(CLI::App& app, ConfigOptions& options) {
  Bind(config::Program::kServer, GlobalKeys::kLeftOut, app, options);
  Bind(config::Program::kAgent, GlobalKeys::kLeftOut, app, options);
}

}  // namespace meshca::cli
