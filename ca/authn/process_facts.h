// What there is to know of one process on a Unix socket, each fact read when it is first asked for.
#ifndef MESHCA_CA_AUTHN_PROCESS_FACTS_H_
#define MESHCA_CA_AUTHN_PROCESS_FACTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/authn/authenticator.h"
#include "ca/authn/host_names.h"
#include "ca/authn/process.h"

namespace meshca {

// Of one caller, for one judgement. What the kernel said when the caller connected is always there. All else is read of
// a process by its number, and believed only while the process with that number is still the one that connected: its
// start time is compared after each reading, so a reused number gains nothing.
// For one thread. The references outlive it.
class ProcessFacts {
 public:
  // What may be read.
  enum class Reading {
    kMemory,    // what answers from memory (/proc, what was asked before): on a loop
    kAnything,  // disks and the host's name service too, which may take long
  };

  ProcessFacts(const UnixPeer& peer, const ProcessTable& processes, HostNames& names, Reading reading);

  uint32_t uid() const { return peer_.uid; }
  uint32_t gid() const { return peer_.gid; }

  // Errors of all: NotFound (the process was not visible, has ended, or its number is another's now), PermissionDenied
  // (another user's process, and the server may not look at it), Unavailable with BeyondMemory() (see Reading).

  // The group that it connected with, and its supplementary groups.
  absl::StatusOr<std::vector<uint32_t>> Groups();
  // The path of its executable, as the server's own mount namespace names it.
  absl::StatusOr<std::string> Executable();
  // SHA-256 of its executable as the kernel has it mapped, lower-case hex: a file that was put in its place since has
  // no part in it. Beyond memory.
  absl::StatusOr<std::string> ExecutableSha256();
  // The systemd unit that it runs in ("web.service"); "" for none.
  absl::StatusOr<std::string> SystemdUnit();
  // Names of its user and groups. Beyond memory unless they were asked for lately. NotFound: the user has none, or has
  // no number here at all (overflow_ids.h); groups without a name are left out.
  absl::StatusOr<std::string> UserName();
  absl::StatusOr<std::vector<std::string>> GroupNames();

  // A fact was asked for that Reading::kMemory does not give: judge again, off the loop, with kAnything.
  bool needs_more() const { return needs_more_; }
  // The first fact that could not be learned, for a refusal that rests on it; Ok where there is none.
  const absl::Status& unknown() const { return unknown_; }

 private:
  // Reads by the process's number, and checks that it was the caller's.
  template <typename T>
  absl::StatusOr<T> ReadOfCaller(absl::FunctionRef<absl::StatusOr<T>()> read);
  // The name in memory, or looked up where that may be done.
  absl::StatusOr<std::string> NameOf(std::optional<absl::StatusOr<std::string>> known,
                                     absl::FunctionRef<absl::StatusOr<std::string>()> look_up);
  // Keeps the first error.
  void Note(const absl::Status& status);
  absl::Status BeyondMemory();

  const UnixPeer peer_;
  const ProcessTable& processes_;
  HostNames& names_;
  const Reading reading_;
  bool needs_more_ = false;
  absl::Status unknown_;
  std::optional<absl::StatusOr<std::vector<uint32_t>>> groups_;
  std::optional<absl::StatusOr<std::string>> executable_;
  std::optional<absl::StatusOr<std::string>> sha256_;
  std::optional<absl::StatusOr<std::string>> unit_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_PROCESS_FACTS_H_
