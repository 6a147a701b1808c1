// Where a configuration value came from.
#ifndef MESHCA_CLI_CONFIG_VALUE_ORIGIN_H_
#define MESHCA_CLI_CONFIG_VALUE_ORIGIN_H_

#include <map>
#include <string>

namespace meshca::config {

// In rising precedence.
enum class OriginKind { kDefault, kFile, kEnvironment, kFlag };

struct Origin {
  OriginKind kind = OriginKind::kDefault;
  // What to look at: "meshca.yaml:3:5" (line and column from 1), "MESHCA_LISTEN", "--listen", "default".
  std::string where = "default";
};

// By key as written with dots and indexes: "sds.over_mtls", "authenticators[0].jwt.issuer", "server_names" (a list of
// scalars is one value). Every key of the file is here, mappings and lists included.
using Origins = std::map<std::string, Origin>;

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_VALUE_ORIGIN_H_
