// YAML as a tree with a place for each node, and nothing that would make a configuration say what it does not show.
#ifndef MESHCA_CLI_CONFIG_YAML_TREE_H_
#define MESHCA_CLI_CONFIG_YAML_TREE_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
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

// ParseYaml of a document of any size whose bulk is the list under `key` of its mapping: each item of that list is
// given to `on_item` as soon as it is whole, until that returns false, and is not in the tree that is returned. The
// limits hold for each item, and for the rest.
YamlNode ParseYamlList(absl::string_view text, absl::string_view key,
                       absl::FunctionRef<bool(const YamlNode& item, size_t index)> on_item, Faults& faults);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_YAML_TREE_H_
