// What an agent keeps on disk: its own key and certificate, the trust that it was told last, and which join tokens it
// has spent. Keys of workloads are never written.
#ifndef MESHCA_CLI_AGENT_AGENT_STATE_H_
#define MESHCA_CLI_AGENT_AGENT_STATE_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/mutex.h"
#include "ca/base/unique_fd.h"
#include "ca/x509/signing_key.h"
#include "cli/agent/own_identity.h"
#include "meshca/agent/v1/agent.pb.h"

namespace meshca::agent {

// One folder (0700) of files (0600), each replaced whole by one rename and synced: whatever ends the process, a power
// loss included, leaves the old content or the new one. What cannot be written (a full disk) leaves the old one.
//
//   identity.pem      the agent's key and behind it its chain
//   joining-key.pem   the key that is joining: there from before the first attempt until the agent has its certificate
//   trust.bin         the highest trust that it was ever told, as the message Trust
//   entries.bin       the entries of this node as they were told last, as one EntriesChange
//   spent-tokens      SHA-256 of the join tokens that brought a certificate, one a line in hex
//   lock              held by the process that uses the folder
//
// Thread-safe. Every call blocks on the disk. Errors of all name the path; Unavailable is a disk that is full or
// broken.
class AgentState {
 public:
  // Makes the folder where it is missing, takes its lock, and clears away what an interrupted write has left.
  // AlreadyExists (reason STATE_IN_USE): another agent uses it. PermissionDenied: somebody else can get at it, and it
  // is not ours to set back. InvalidArgument: it is no folder.
  static absl::StatusOr<std::unique_ptr<AgentState>> Open(const std::string& folder);

  const std::string& folder() const { return folder_; }

  // Null where there is none: the agent has not joined. DataLoss: the file cannot be read as one; says what to do.
  absl::StatusOr<OwnIdentityPtr> LoadIdentity() const;
  absl::Status SaveIdentity(const OwnIdentity& identity);

  // Nothing where there is none. DataLoss as above.
  absl::StatusOr<std::optional<v1::Trust>> LoadTrust() const;
  absl::Status SaveTrust(const v1::Trust& trust);

  // The same of the entries, which say after a restart who may have the trust while the CA is away.
  absl::StatusOr<std::optional<v1::EntriesChange>> LoadEntries() const;
  absl::Status SaveEntries(const v1::EntriesChange& entries);

  // The key to join with: the one of an attempt that has not ended yet, so that a lost answer can be asked for again
  // (a token is bound to the first key that shows it), else a new one. Durable when it returns.
  absl::StatusOr<std::unique_ptr<SoftwareKey>> JoiningKey();
  // To be called once the certificate that the token (32 bytes, SHA-256 of its text) brought is saved: the token is
  // spent, and its key no longer a joining one.
  absl::Status EndJoining(absl::string_view token_sha256);
  // The same where no token brought it.
  absl::Status ForgetJoiningKey();
  absl::StatusOr<bool> IsSpent(absl::string_view token_sha256) const;

 private:
  AgentState(std::string folder, UniqueFd lock) : folder_(std::move(folder)), lock_(std::move(lock)) {}
  std::string Path(absl::string_view name) const;
  absl::Status RemoveJoiningKey() ABSL_EXCLUSIVE_LOCKS_REQUIRED(joining_);

  const std::string folder_;
  const UniqueFd lock_;
  // For what reads a file and then writes it; each file by itself is replaced by one rename.
  mutable Mutex joining_;
};

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_AGENT_STATE_H_
