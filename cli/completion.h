// Shell completion, made from the tree of commands.
#ifndef MESHCA_CLI_COMPLETION_H_
#define MESHCA_CLI_COMPLETION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace CLI {
class App;
}

namespace meshca::cli {

// A word that may follow, with what it means.
struct CompletionWord {
  std::string word;  // "token", "--ttl"
  std::string help;
  bool takes_value = false;
};

// What may follow one path of commands.
struct CompletionPoint {
  std::vector<std::string> path;  // {} for the top, {"token", "create"}
  std::vector<CompletionWord> commands;
  std::vector<CompletionWord> options;  // its own; global ones are those of the top
};

// Every point of the tree, the top first.
std::vector<CompletionPoint> CompletionPoints(const CLI::App& root);

// The script for "bash", "zsh" or "fish". InvalidArgument lists them.
absl::StatusOr<std::string> CompletionScript(const CLI::App& root, absl::string_view shell);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_COMPLETION_H_
