// Reads a YAML file into a protobuf message by the message's descriptor.
#ifndef MESHCA_CLI_CONFIG_LOADER_H_
#define MESHCA_CLI_CONFIG_LOADER_H_

#include <cstddef>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cli/config/faults.h"
#include "cli/config/value_origin.h"

namespace google::protobuf {
class Message;
}

namespace meshca::config {

inline constexpr size_t kFileBytesMax = 1024 * 1024;
inline constexpr size_t kNestingMax = 16;
inline constexpr size_t kNodesMax = 100'000;  // scalars, lists and mappings of a file together
inline constexpr size_t kFaultsShown = 20;

// Sets in `out` what `text` says, and in `origins` where each key stands. `name` is how errors call the file. Paths
// (KeyOptions.path) that are relative get `folder` in front; "" leaves them.
//
// A key is a field's name; a mapping is a message, a list a repeated field, a duration "90s" (see value.h), an enum its
// value's name in lower case with hyphens and without the common prefix. Numbers are decimal without a leading zero
// (yaml-cpp alone would read 010 as 8), booleans `true` or `false`, text is taken as written, quoted or not.
//
// InvalidArgument (reason CONFIG_INVALID), one fault a line and at most kFaultsShown, each as
//   meshca.yaml:3:5: sds.over_mtsl: unknown key; did you mean "over_mtls"?
// Faults: syntax; a key that is unknown, stands twice, or is no plain word; an anchor, alias, tag or second document;
// a value of another type, outside the key's bounds, or missing; a required key left out; two kinds of a oneof; a file
// above kFileBytesMax, kNestingMax or kNodesMax. `out` is then unspecified.
absl::Status LoadYaml(absl::string_view text, absl::string_view name, absl::string_view folder,
                      google::protobuf::Message& out, Origins& origins);

// LoadYaml on the file at `path`, whose folder relative paths start at.
// Errors also: NotFound, PermissionDenied, FailedPrecondition (not a regular file).
absl::Status LoadYamlFile(const std::string& path, google::protobuf::Message& out, Origins& origins);

// LoadYaml of a document of any size whose bulk is the list under `key`: each item is read into `item` and given to
// `on_item` with its place, until that returns false; the rest goes into `out`. Nothing is given any more after the
// first fault, but faults are looked for to the end.
absl::Status LoadYamlList(absl::string_view text, absl::string_view name, absl::string_view key,
                          google::protobuf::Message& out, google::protobuf::Message& item,
                          absl::FunctionRef<bool(Place place)> on_item);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_LOADER_H_
