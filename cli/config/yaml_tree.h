// YAML as a tree with a place for each node, and nothing that would make a configuration say what it does not show.
#ifndef MESHCA_CLI_CONFIG_YAML_TREE_H_
#define MESHCA_CLI_CONFIG_YAML_TREE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "cli/config/faults.h"

namespace meshca::config {

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMapping };

  Kind kind = Kind::kNull;
  Place place;
  std::string text;     // kScalar
  bool quoted = false;  // kScalar in quotes or as a block
  // kList: the items; kMapping: key, value, key, value ...
  std::vector<YamlNode> children;
};

// "text", "a list", "a mapping", "nothing": for messages.
absl::string_view KindText(const YamlNode& node);

// The one document of `text`; kNull when it has none. Faults: syntax, bytes that are no UTF-8, a second document,
// anchors, aliases, tags, the limits of loader.h. Duplicate keys are still there: the loader finds them.
YamlNode ParseYaml(absl::string_view text, Faults& faults);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_YAML_TREE_H_
