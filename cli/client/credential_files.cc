#include "cli/client/credential_files.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/file.h"
#include "ca/base/status.h"

namespace meshca::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kCurrent[] = "..data";

// `link` points to `target` afterwards, whatever it was before, by one rename.
absl::Status PointLink(const std::string& folder, const std::string& link, const std::string& target) {
  const std::string path = absl::StrCat(folder, "/", link);
  const std::string temporary = absl::StrCat(path, ".new");
  ::unlink(temporary.c_str());
  if (::symlink(target.c_str(), temporary.c_str()) != 0) return ErrnoStatus(errno, temporary);
  if (::rename(temporary.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

std::string LinkTarget(const std::string& path) {
  std::error_code error;
  const fs::path target = fs::read_symlink(path, error);
  return error ? "" : target.string();
}

absl::StatusOr<std::string> WriteGeneration(const std::string& folder, const CredentialFiles& files) {
  std::string path =
      absl::StrCat(folder, "/..", absl::FormatTime("%Y_%m_%d_%H_%M_%S.", absl::Now(), absl::UTCTimeZone()), "XXXXXX");
  if (::mkdtemp(path.data()) == nullptr) return ErrnoStatus(errno, path);
  absl::Status status = CreatePrivateFile(absl::StrCat(path, "/", kKeyFile), files.key_pem.reveal());
  if (status.ok()) status = CreatePrivateFile(absl::StrCat(path, "/", kChainFile), files.chain_pem);
  if (status.ok()) status = CreatePrivateFile(absl::StrCat(path, "/", kRootFile), files.roots_pem);
  if (status.ok()) status = SyncFolder(path);
  if (status.ok()) return fs::path(path).filename().string();
  // Half a generation is of no use to anybody, and holds a key.
  std::error_code ignored;
  fs::remove_all(path, ignored);
  return status;
}

}  // namespace

absl::Status ReplaceCredentialFiles(const std::string& folder, const CredentialFiles& files) {
  std::error_code error;
  const bool made = fs::create_directories(folder, error);
  if (error) return ErrnoStatus(error.value(), folder);
  if (made && ::chmod(folder.c_str(), 0700) != 0) return ErrnoStatus(errno, folder);
  const std::string before = LinkTarget(absl::StrCat(folder, "/", kCurrent));
  MESHCA_ASSIGN_OR_RETURN(const std::string generation, WriteGeneration(folder, files));
  // The names first: while `..data` still leads to the old generation they change nothing.
  const auto point_names = [&]() -> absl::Status {
    for (const char* name : {kKeyFile, kChainFile, kRootFile}) {
      const std::string target = absl::StrCat(kCurrent, "/", name);
      if (LinkTarget(absl::StrCat(folder, "/", name)) == target) continue;
      MESHCA_RETURN_IF_ERROR(PointLink(folder, name, target));
    }
    return absl::OkStatus();
  };
  if (!before.empty()) MESHCA_RETURN_IF_ERROR(point_names());
  MESHCA_RETURN_IF_ERROR(PointLink(folder, kCurrent, generation));
  if (before.empty()) MESHCA_RETURN_IF_ERROR(point_names());
  MESHCA_RETURN_IF_ERROR(SyncFolder(folder));
  // Only what a run before this one made: never a path that somebody else pointed the link at.
  if (absl::StartsWith(before, "..") && before.find('/') == std::string::npos && before.size() > 2) {
    fs::remove_all(fs::path(folder) / before, error);
  }
  return absl::OkStatus();
}

}  // namespace meshca::cli
