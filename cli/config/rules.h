// What the rules of a configuration are checked with: faults under the names by which the reader gave the values, and
// the rules that a server's and an agent's configuration share.
#ifndef MESHCA_CLI_CONFIG_RULES_H_
#define MESHCA_CLI_CONFIG_RULES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cli/config/faults.h"
#include "cli/config/value_origin.h"

namespace meshca::config {

// Adds faults under the name by which the reader gave the value: a place in the file, a flag, a variable.
class Rules {
 public:
  // Both outlive it.
  Rules(const Origins& origins, Faults& faults) : origins_(origins), faults_(faults) {}

  void Fault(const std::string& key, absl::string_view sentence);
  void Check(const std::string& key, const absl::Status& status) {
    if (!status.ok()) Fault(key, status.message());
  }
  Origin OriginOf(const std::string& key) const;
  size_t faults() const { return faults_.size(); }

 private:
  const Origins& origins_;
  Faults& faults_;
};

// The two sockets fit sun_path and are two.
void CheckSocketPaths(const std::string& admin_socket, const std::string& api_socket, Rules& rules);

// HOST:PORT as ca/rpc and the HTTP server take it. `scheme` is what is spoken there. InvalidArgument shows what it
// expects.
absl::Status CheckAddress(absl::string_view address, absl::string_view scheme);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_RULES_H_
