#include "cli/completion.h"

#include <algorithm>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace meshca::cli {
namespace {

void Collect(const CLI::App& app, const std::vector<std::string>& path, std::vector<CompletionPoint>& points) {
  CompletionPoint point;
  point.path = path;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    point.commands.push_back({sub->get_name(), sub->get_description(), false});
  }
  for (const CLI::Option* option : app.get_options()) {
    const bool takes_value = option->get_items_expected_max() > 0 && option->get_items_expected_min() > 0;
    for (const std::string& name : option->get_lnames()) {
      point.options.push_back({"--" + name, option->get_description(), takes_value});
    }
    for (const std::string& name : option->get_snames()) {
      point.options.push_back({"-" + name, option->get_description(), takes_value});
    }
  }
  points.push_back(std::move(point));
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    std::vector<std::string> below = path;
    below.push_back(sub->get_name());
    Collect(*sub, below, points);
  }
}

std::string Words(const std::vector<CompletionWord>& words) {
  return absl::StrJoin(words, " ", [](std::string* out, const CompletionWord& word) { out->append(word.word); });
}

// Options that take a value, of the whole tree: the word after one of them is no command.
std::string ValueOptions(const std::vector<CompletionPoint>& points) {
  std::vector<std::string> words;
  for (const CompletionPoint& point : points) {
    for (const CompletionWord& option : point.options) {
      if (option.takes_value) words.push_back(option.word);
    }
  }
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  return absl::StrJoin(words, "|");
}

// bash and zsh share the walk over the words before the cursor: which commands have been named, which word is a value.
std::string WalkAndLookUp(const std::vector<CompletionPoint>& points) {
  std::string script;
  absl::StrAppend(&script, "  for word in \"${before[@]}\"; do\n",
                  "    if [[ -n $value ]]; then value=; continue; fi\n", "    case $word in\n      ",
                  ValueOptions(points), ") value=1 ;;\n",
                  "      -*) ;;\n      *) path=\"${path:+$path }$word\" ;;\n    esac\n  done\n", "  case $path in\n");
  for (const CompletionPoint& point : points) {
    absl::StrAppend(&script, "    '", absl::StrJoin(point.path, " "), point.commands.empty() ? "'*" : "'", ") words='",
                    Words(point.commands), "'; options='", Words(point.options), "' ;;\n");
  }
  absl::StrAppend(&script, "  esac\n  global='", Words(points.front().options), "'\n");
  return script;
}

std::string Bash(const std::vector<CompletionPoint>& points) {
  return absl::StrCat(
      "# bash completion for meshca:  source <(meshca completion bash)\n"
      "_meshca() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} before=(\"${COMP_WORDS[@]:1:COMP_CWORD-1}\")\n"
      "  local word path= value= words= options= global=\n",
      WalkAndLookUp(points),
      "  if [[ -n $value ]]; then COMPREPLY=($(compgen -f -- \"$current\")); return; fi\n"
      "  if [[ $current == -* ]]; then words=\"$options $global\"; fi\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "}\n"
      "complete -o bashdefault -F _meshca meshca\n");
}

std::string Zsh(const std::vector<CompletionPoint>& points) {
  return absl::StrCat(
      "#compdef meshca\n"
      "# zsh completion for meshca:  source <(meshca completion zsh)\n"
      "_meshca() {\n"
      "  local current=${words[CURRENT]}\n"
      "  local -a before=(\"${(@)words[2,CURRENT-1]}\")\n"
      "  local word path= value= options= global=\n"
      "  local -h words=\n",
      WalkAndLookUp(points),
      "  if [[ -n $value ]]; then _files; return; fi\n"
      "  if [[ $current == -* ]]; then words=\"$options $global\"; fi\n"
      "  compadd -- ${=words}\n"
      "}\n"
      "compdef _meshca meshca\n");
}

std::string FishText(absl::string_view text) { return absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}); }

std::string Fish(const std::vector<CompletionPoint>& points) {
  std::string script = "# fish completion for meshca:  meshca completion fish | source\ncomplete -c meshca -f\n";
  for (const CompletionPoint& point : points) {
    std::string when = point.path.empty() ? "__fish_use_subcommand" : "";
    for (const std::string& command : point.path) {
      absl::StrAppend(&when, when.empty() ? "" : "; and ", "__fish_seen_subcommand_from ", command);
    }
    for (const CompletionWord& command : point.commands) {
      absl::StrAppend(&script, "complete -c meshca -n '", when, "' -a '", command.word, "' -d '",
                      FishText(command.help), "'\n");
    }
    for (const CompletionWord& option : point.options) {
      const bool is_long = option.word.rfind("--", 0) == 0;
      absl::StrAppend(&script, "complete -c meshca", point.path.empty() ? "" : absl::StrCat(" -n '", when, "'"),
                      is_long ? " -l " : " -s ", option.word.substr(is_long ? 2 : 1), option.takes_value ? " -rF" : "",
                      " -d '", FishText(option.help), "'\n");
    }
  }
  return script;
}

}  // namespace

std::vector<CompletionPoint> CompletionPoints(const CLI::App& root) {
  std::vector<CompletionPoint> points;
  Collect(root, {}, points);
  return points;
}

absl::StatusOr<std::string> CompletionScript(const CLI::App& root, absl::string_view shell) {
  const std::vector<CompletionPoint> points = CompletionPoints(root);
  if (shell == "bash") return Bash(points);
  if (shell == "zsh") return Zsh(points);
  if (shell == "fish") return Fish(points);
  return absl::InvalidArgumentError(absl::StrCat("\"", shell, "\" is none of bash, zsh, fish"));
}

}  // namespace meshca::cli
