// The running server: everything `meshca serve` is made of, built once, in order, and taken down in reverse.
#ifndef MESHCA_CLI_SERVER_MESHCA_SERVER_H_
#define MESHCA_CLI_SERVER_MESHCA_SERVER_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/config/resolve.h"
#include "cli/server/first_screen.h"

namespace meshca::cli {

// Start and Stop on one thread. Between them it serves on its own threads.
class Server {
 public:
  // Opens the state (making what a fresh one lacks), starts every part and serves. On an error nothing is left
  // running; the message names what to do.
  static absl::StatusOr<std::unique_ptr<Server>> Start(config::ResolvedConfig config);

  virtual ~Server() = default;

  // What holds now, real ports included.
  virtual FirstScreen Screen() const = 0;

  // Takes the keys of `next` that may change while serving and logs which of the others wait for a restart. On an
  // error everything stays as it was.
  virtual absl::Status Reload(config::ResolvedConfig next) = 0;

  // Health says no, new calls are refused, those under way end within the grace, then everything stops. Idempotent.
  virtual void Stop() = 0;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_MESHCA_SERVER_H_
