#include "cli/agent/agent_state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "ca/base/fault_point.h"
#include "ca/base/file.h"
#include "ca/base/log.h"
#include "ca/base/secret_folder.h"
#include "ca/base/status.h"
#include "ca/x509/encoding.h"

namespace meshca::agent {
namespace {

constexpr char kIdentityFile[] = "identity.pem";
constexpr char kJoiningKeyFile[] = "joining-key.pem";
constexpr char kTrustFile[] = "trust.bin";
constexpr char kEntriesFile[] = "entries.bin";
constexpr char kSpentTokensFile[] = "spent-tokens";
constexpr char kLockFile[] = "lock";

constexpr size_t kIdentityBytesMax = 256 * 1024;
constexpr size_t kTrustBytesMax = 8 * 1024 * 1024;
constexpr size_t kEntriesBytesMax = 256 * 1024 * 1024;
// A token lives for a month at most: what is older than so many joinings was refused by the CA long ago.
constexpr size_t kSpentTokensMax = 1000;
constexpr size_t kSpentTokensBytesMax = kSpentTokensMax * 65;

// A CA's state directory: its keys and an agent's are two things, and so are their backups.
absl::Status RefuseCasFolder(const std::string& folder) {
  std::error_code error;
  if (!std::filesystem::exists(absl::StrCat(folder, "/meshca.db"), error)) return absl::OkStatus();
  return WithReason(
      absl::FailedPreconditionError(absl::StrCat(
          folder, ": is a CA's state directory (meshca.db stands in it): give the agent one of its own, --state-dir")),
      "STATE_OF_CA");
}

absl::StatusOr<UniqueFd> LockFolder(const std::string& folder) {
  const std::string name = absl::StrCat(folder, "/", kLockFile);
  UniqueFd fd(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open ", name));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK) return ErrnoStatus(errno, absl::StrCat("lock ", name));
  return WithReason(
      absl::AlreadyExistsError(absl::StrCat(
          folder, ": another agent uses it: stop that one, or give this one a state directory of its own")),
      "STATE_IN_USE");
}

// What ReplacePrivateFile was writing when the process or the machine ended may be a private key.
void ClearInterruptedWrites(const std::string& folder) {
  std::error_code error;
  for (std::filesystem::directory_iterator file(folder, error), end; !error && file != end; file.increment(error)) {
    if (absl::StrContains(file->path().filename().string(), ".new-")) ::unlink(file->path().c_str());
  }
}

// Nothing where there is no such file.
absl::StatusOr<std::optional<SecretBytes>> ReadIfThere(const std::string& path, size_t bytes_max) {
  absl::StatusOr<std::string> bytes = ReadFile(path, bytes_max, FileSecrecy::kSecret);
  if (absl::IsNotFound(bytes.status())) return std::optional<SecretBytes>();
  if (!bytes.ok()) return bytes.status();
  return std::optional<SecretBytes>(SecretBytes(*std::move(bytes)));
}

absl::Status Unreadable(const std::string& path, absl::string_view why) {
  return absl::DataLossError(absl::StrCat(path, ": ", why,
                                          ". Move the file away and let the agent join again with a new "
                                          "token: meshca token create --node NODE --replace"));
}

absl::StatusOr<std::vector<std::string>> ReadSpentTokens(const std::string& path) {
  MESHCA_ASSIGN_OR_RETURN(const std::optional<SecretBytes> text, ReadIfThere(path, kSpentTokensBytesMax));
  if (!text.has_value()) return std::vector<std::string>();
  return std::vector<std::string>(absl::StrSplit(text->reveal(), '\n', absl::SkipEmpty()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AgentState>> AgentState::Open(const std::string& folder) {
  MESHCA_RETURN_IF_ERROR(RefuseCasFolder(folder));
  const std::vector<std::string> own_files = {kIdentityFile, kJoiningKeyFile, kTrustFile, kEntriesFile,
                                              kSpentTokensFile};
  MESHCA_RETURN_IF_ERROR(Annotate(PrepareSecretFolder(folder, own_files), "state directory"));
  absl::StatusOr<UniqueFd> lock = LockFolder(folder);
  if (!lock.ok()) return Annotate(lock.status(), "state directory");
  ClearInterruptedWrites(folder);
  return std::unique_ptr<AgentState>(new AgentState(folder, *std::move(lock)));
}

std::string AgentState::Path(absl::string_view name) const { return absl::StrCat(folder_, "/", name); }

absl::StatusOr<OwnIdentityPtr> AgentState::LoadIdentity() const {
  const std::string path = Path(kIdentityFile);
  MESHCA_ASSIGN_OR_RETURN(const std::optional<SecretBytes> pem, ReadIfThere(path, kIdentityBytesMax));
  if (!pem.has_value()) return OwnIdentityPtr();
  absl::StatusOr<OwnIdentityPtr> identity = ReadOwnIdentity(pem->reveal());
  if (!identity.ok()) return Unreadable(path, identity.status().message());
  return identity;
}

absl::Status AgentState::SaveIdentity(const OwnIdentity& identity) {
  FaultPoint("agent: before its identity is saved");
  MESHCA_RETURN_IF_ERROR(ReplacePrivateFile(Path(kIdentityFile), OwnIdentityPem(identity).reveal()));
  FaultPoint("agent: after its identity is saved");
  return absl::OkStatus();
}

absl::StatusOr<std::optional<v1::Trust>> AgentState::LoadTrust() const {
  const std::string path = Path(kTrustFile);
  MESHCA_ASSIGN_OR_RETURN(const std::optional<SecretBytes> bytes, ReadIfThere(path, kTrustBytesMax));
  if (!bytes.has_value()) return std::optional<v1::Trust>();
  v1::Trust trust;
  if (!trust.ParseFromArray(bytes->reveal().data(), static_cast<int>(bytes->size()))) {
    return Unreadable(path, "is no trust that an agent has written");
  }
  return std::optional<v1::Trust>(std::move(trust));
}

absl::Status AgentState::SaveTrust(const v1::Trust& trust) {
  FaultPoint("agent: before its trust is saved");
  return ReplacePrivateFile(Path(kTrustFile), trust.SerializeAsString());
}

absl::StatusOr<std::optional<v1::EntriesChange>> AgentState::LoadEntries() const {
  const std::string path = Path(kEntriesFile);
  MESHCA_ASSIGN_OR_RETURN(const std::optional<SecretBytes> bytes, ReadIfThere(path, kEntriesBytesMax));
  if (!bytes.has_value()) return std::optional<v1::EntriesChange>();
  v1::EntriesChange entries;
  if (!entries.ParseFromArray(bytes->reveal().data(), static_cast<int>(bytes->size()))) {
    return absl::DataLossError(absl::StrCat(path, ": is no list of entries that an agent has written"));
  }
  return std::optional<v1::EntriesChange>(std::move(entries));
}

absl::Status AgentState::SaveEntries(const v1::EntriesChange& entries) {
  return ReplacePrivateFile(Path(kEntriesFile), entries.SerializeAsString());
}

absl::StatusOr<std::unique_ptr<SoftwareKey>> AgentState::JoiningKey() {
  MutexLock lock(joining_);
  const std::string path = Path(kJoiningKeyFile);
  MESHCA_ASSIGN_OR_RETURN(const std::optional<SecretBytes> pem, ReadIfThere(path, kIdentityBytesMax));
  if (pem.has_value()) {
    absl::StatusOr<std::unique_ptr<SoftwareKey>> key = SoftwareKey::FromPem(pem->reveal());
    if (!key.ok()) return Unreadable(path, key.status().message());
    return key;
  }
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<SoftwareKey> key, SoftwareKey::Generate(KeyType::kEcP256));
  MESHCA_RETURN_IF_ERROR(CreatePrivateFile(path, key->ToPkcs8Pem().reveal()));
  FaultPoint("agent: after its joining key is saved");
  return key;
}

absl::Status AgentState::EndJoining(absl::string_view token_sha256) {
  MutexLock lock(joining_);
  const std::string path = Path(kSpentTokensFile);
  MESHCA_ASSIGN_OR_RETURN(std::vector<std::string> spent, ReadSpentTokens(path));
  spent.push_back(HexLower(token_sha256));
  if (spent.size() > kSpentTokensMax) spent.erase(spent.begin());
  MESHCA_RETURN_IF_ERROR(ReplacePrivateFile(path, absl::StrCat(absl::StrJoin(spent, "\n"), "\n")));
  FaultPoint("agent: after its token is marked as spent");
  return RemoveJoiningKey();
}

absl::Status AgentState::ForgetJoiningKey() {
  MutexLock lock(joining_);
  return RemoveJoiningKey();
}

absl::Status AgentState::RemoveJoiningKey() {
  // The key lives on in identity.pem.
  if (::unlink(Path(kJoiningKeyFile).c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat("remove ", Path(kJoiningKeyFile)));
  }
  return SyncFolder(folder_);
}

absl::StatusOr<bool> AgentState::IsSpent(absl::string_view token_sha256) const {
  MutexLock lock(joining_);
  MESHCA_ASSIGN_OR_RETURN(const std::vector<std::string> spent, ReadSpentTokens(Path(kSpentTokensFile)));
  const std::string wanted = HexLower(token_sha256);
  for (const std::string& one : spent) {
    if (one == wanted) return true;
  }
  return false;
}

}  // namespace meshca::agent
