// What a process that holds keys does before anything else, and how it is told to stop.
#ifndef MESHCA_CLI_PROCESS_SERVICE_PROCESS_H_
#define MESHCA_CLI_PROCESS_SERVICE_PROCESS_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace meshca::cli {

// The kernel writes no core dump of this process, whatever the limits of whoever started it: every command may hold a
// key or a token. Where the system hands cores to a program of its own (core_pattern begins with `|`), that program
// decides; a server is told to nobody (HardenProcess), but a command has to stay readable for whoever judges by its
// executable who asks.
void SwitchCoreDumpsOff();

// No core dump and no debugger of another process reads this one's memory; a write to a closed connection is an error
// and no signal; new files are the owner's alone; as many descriptors as the system allows. Before any thread starts.
absl::Status HardenProcess();

// A woken thread of this process waits for the running one's time slice instead of interrupting it (SCHED_BATCH,
// sched(7)): work gathers in larger batches, and a busy core spends a tenth less on each certificate. Before any thread
// starts. Where the system refuses, everything works as before, only dearer.
void PreferThroughput();

// Blocks SIGTERM, SIGINT and SIGHUP in this thread and all it starts. Before any thread starts.
void BlockSignals();

// Waits for the signals of BlockSignals: runs `reload` for each SIGHUP, returns at SIGTERM or SIGINT. A second SIGTERM
// or SIGINT after that ends the process at once.
void WaitForStop(absl::FunctionRef<void()> reload);

// Tells systemd (sd_notify protocol, $NOTIFY_SOCKET) that the service is up; nothing where nobody asked.
void NotifyReady();

}  // namespace meshca::cli

#endif  // MESHCA_CLI_PROCESS_SERVICE_PROCESS_H_
