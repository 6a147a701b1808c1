// Links: cli_config
// A configuration file: any bytes are read or refused, and what was read is shown in a form that reads back to the
// same.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "ca/base/check.h"
#include "ca/base/status.h"
#include "cli/config/loader.h"
#include "cli/config/resolve.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using meshca::config::ResolvedConfig;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  ResolvedConfig config;
  const absl::Status status = meshca::config::LoadYaml(text, "m.yaml", "/etc", config.values, config.origins);
  if (!status.ok()) {
    MESHCA_CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    MESHCA_CHECK(meshca::ReasonOf(status) == "CONFIG_INVALID");
    MESHCA_CHECK(absl::StartsWith(status.message(), "m.yaml:"));
    MESHCA_CHECK(status.message().size() < 64 * 1024);
    return 0;
  }
  ResolvedConfig again;
  const absl::Status reread =
      meshca::config::LoadYaml(config.ToYaml(true), "shown", "/etc", again.values, again.origins);
  MESHCA_CHECK(reread.ok());
  MESHCA_CHECK(again.ToYaml(false) == config.ToYaml(false));
  // The rules between keys take whatever the types let through.
  const absl::Status rules = meshca::config::Validate(config);
  MESHCA_CHECK(rules.ok() || meshca::ReasonOf(rules) == "CONFIG_INVALID");
  return 0;
}
