// The meshca command.
#include <exception>

#include "ca/base/wiping_heap.h"
#include "cli/command_line.h"
#include "cli/process/service_process.h"
#include "cli/terminal/output.h"

int main(int argc, char** argv) {
  meshca::cli::SwitchCoreDumpsOff();
  meshca::CheckThatFreedMemoryIsWiped();
  try {
    return meshca::cli::RunCommandLine(argc, argv);
  } catch (const std::exception& error) {
    meshca::cli::Err("meshca: internal error: %s\n", error.what());
    return 1;
  }
}
