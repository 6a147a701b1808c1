// How a command adds itself: options into a value of its own, and the function that runs on them.
#ifndef MESHCA_CLI_COMMANDS_SUBCOMMAND_H_
#define MESHCA_CLI_COMMANDS_SUBCOMMAND_H_

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "cli/session.h"

namespace meshca::cli {

// A noun with verbs: `meshca token ...`. One of them must be given.
inline CLI::App* AddNoun(CLI::App& root, const std::string& name, const std::string& help) {
  CLI::App* noun = root.add_subcommand(name, help);
  noun->require_subcommand(1);
  return noun;
}

// Adds `name` under `parent`. `bind(app, options)` declares the options of a fresh Options; `run(session, options)` is
// the command. Both are plain functions.
template <typename Options>
CLI::App* AddVerb(CLI::App& parent, Session& session, const std::string& name, const std::string& help,
                  void (*bind)(CLI::App&, Options&), absl::Status (*run)(Session&, Options&)) {
  CLI::App* app = parent.add_subcommand(name, help);
  const auto options = std::make_shared<Options>();
  bind(*app, *options);
  app->callback(
      [options, run, &session] { session.action = [options, run, &session] { return run(session, *options); }; });
  return app;
}

// A verb without options.
inline CLI::App* AddVerb(CLI::App& parent, Session& session, const std::string& name, const std::string& help,
                         absl::Status (*run)(Session&)) {
  CLI::App* app = parent.add_subcommand(name, help);
  app->callback([run, &session] { session.action = [run, &session] { return run(session); }; });
  return app;
}

// How help calls the one argument of a verb ("ID"), and what it is.
struct IdArgument {
  std::string placeholder;
  std::string help;
};

// A verb about one thing: `meshca token delete ID`.
inline CLI::App* AddIdVerb(CLI::App& parent, Session& session, const std::string& name, const std::string& help,
                           const IdArgument& argument, absl::Status (*run)(Session&, const std::string& id)) {
  CLI::App* app = parent.add_subcommand(name, help);
  const auto id = std::make_shared<std::string>();
  app->add_option(argument.placeholder, *id, argument.help)->required();
  app->callback([id, run, &session] { session.action = [id, run, &session] { return run(session, *id); }; });
  return app;
}

}  // namespace meshca::cli

#endif  // MESHCA_CLI_COMMANDS_SUBCOMMAND_H_
