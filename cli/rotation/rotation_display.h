// How a rotation that is followed is shown while it goes on.
#ifndef MESHCA_CLI_ROTATION_ROTATION_DISPLAY_H_
#define MESHCA_CLI_ROTATION_ROTATION_DISPLAY_H_

#include <cstddef>
#include <cstdio>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/terminal/list_printer.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {

// Not thread-safe.
class RotationDisplay {
 public:
  virtual ~RotationDisplay() = default;

  // The newest status; called at each look, changed or not.
  virtual void ShowStatus(const meshca::admin::v1::RotationStatus& status) = 0;
  // The server could not be asked; `since` the first such look, and given up after `patience`.
  virtual void ShowAway(const absl::Status& why, absl::Duration since, absl::Duration patience) = 0;
  // Nothing more comes: leaves the terminal tidy.
  virtual void Finish() = 0;
};

// On a terminal, for people: a few lines with a bar, drawn again at each look. `width` is asked for its columns.
std::unique_ptr<RotationDisplay> MakeLiveDisplay(std::FILE* out, std::function<size_t()> width);
// For people who read it later: a line with the time whenever the step changes, or what it waits for.
std::unique_ptr<RotationDisplay> MakeLineDisplay(std::FILE* out);
// For programs: a RotationStatus whenever it changes, one a line as JSON (as YAML: one a document). The last one is
// the final status. That the server is away goes to stderr.
std::unique_ptr<RotationDisplay> MakeDocumentDisplay(OutputFormat format, std::FILE* out);

// The one that fits `format` and stdout.
std::unique_ptr<RotationDisplay> MakeDisplay(OutputFormat format);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_ROTATION_ROTATION_DISPLAY_H_
