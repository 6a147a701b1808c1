// The meshca command with fault points switched on: for tests that kill the server at every write of a rotation of the
// root or of the JWT keys, or an agent at every step of joining, signing and renewing.
//
// $MESHCA_FAULTS is a folder. The first time such a fault point is reached, an empty file of its name is made there and
// the process kills itself with SIGKILL; where the file stands already, it goes on. So one rotation, restarted each
// time, dies once at every point. $MESHCA_FAULT is one point besides.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "ca/base/fault_point.h"
#include "cli/command_line.h"

namespace {

void DieOnce(absl::string_view point) {
  const char* const folder = std::getenv("MESHCA_FAULTS");
  if (folder == nullptr) return;
  const char* const one = std::getenv("MESHCA_FAULT");
  if (!absl::StartsWith(point, "root.") && !absl::StartsWith(point, "jwt.") && !absl::StartsWith(point, "agent: ") &&
      (one == nullptr || point != one))
    return;
  const std::string path = std::string(folder) + "/" + std::string(point);
  const int made = open(path.c_str(), O_CREAT | O_EXCL | O_CLOEXEC | O_WRONLY, 0600);
  if (made >= 0) kill(getpid(), SIGKILL);
}

}  // namespace

int main(int argc, char** argv) {
  meshca::SetFaultHook(DieOnce);
  return meshca::cli::RunCommandLine(argc, argv);
}
