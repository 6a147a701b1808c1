#include "ca/base/secret_access.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr mode_t kPermissions = 07777;

// The kubelet sets owner and mode of what it mounts: chmod and chown are of no use there.
std::string KubernetesAdvice(const std::string& path, bool folder) {
  if (folder) {
    return absl::StrCat("; the top folder of a Kubernetes volume stays open to others: name one inside it, such as ",
                        path, "/state, which meshca makes for itself alone");
  }
  return "; on a Kubernetes volume: `defaultMode: 0440` in the volume, and `fsGroup` in the pod's securityContext";
}

absl::Status Refusal(const std::string& path, const struct stat& info, Access access) {
  const bool folder = S_ISDIR(info.st_mode);
  const char* const wanted = folder ? "700" : "600";
  std::string fault;
  if (access == Access::kForeignOwner) {
    fault = absl::StrCat("belongs to user ", info.st_uid, ", not to this process's (", geteuid(),
                         ") or root: run meshca as that user, or chown ", folder ? "-R " : "", geteuid(), " ", path);
  } else {
    fault = absl::StrFormat("mode %04o lets others %s: chmod %s %s", info.st_mode & kPermissions,
                            folder ? "in" : "at this secret", wanted, path);
    if (info.st_uid != geteuid()) {
      absl::StrAppend(&fault, " and chown ", geteuid(), " ", path, " (it belongs to user ", info.st_uid, ", group ",
                      info.st_gid, ")");
    }
  }
  return absl::PermissionDeniedError(absl::StrCat(path, ": ", fault, KubernetesAdvice(path, folder)));
}

// As many links as the kernel follows (path_resolution(7)).
constexpr int kLinksMax = 40;

// The names in a path, the first of them last.
std::vector<std::string> Parts(absl::string_view path) {
  std::vector<std::string> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace

ProcessOwner ProcessOwner::OfThisProcess() {
  ProcessOwner process;
  process.user = geteuid();
  const int count = getgroups(0, nullptr);
  process.groups.resize(count > 0 ? static_cast<size_t>(count) : 0);
  const int got = getgroups(static_cast<int>(process.groups.size()), process.groups.data());
  process.groups.resize(got > 0 ? static_cast<size_t>(got) : 0);
  process.groups.push_back(getegid());
  return process;
}

bool ProcessOwner::In(gid_t group) const { return std::find(groups.begin(), groups.end(), group) != groups.end(); }

Access JudgeAccess(const FileOwner& file, const ProcessOwner& process) {
  if (file.user == process.user) return (file.mode & 077) == 0 ? Access::kSafe : Access::kSetBack;
  if (file.user != 0) return Access::kForeignOwner;
  if ((file.mode & 07) != 0) return Access::kOpenToOthers;
  return (file.mode & 070) == 0 || process.In(file.group) ? Access::kSafe : Access::kOpenToOthers;
}

absl::StatusOr<bool> MakeAccessSafe(int fd, const std::string& path) {
  struct stat info;
  if (fstat(fd, &info) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", path));
  const ProcessOwner process = ProcessOwner::OfThisProcess();
  const FileOwner file = {info.st_uid, info.st_gid, info.st_mode & kPermissions};
  Access access = JudgeAccess(file, process);
  if (access == Access::kSetBack) {
    if (fchmod(fd, info.st_mode & 0700) == 0) return true;
    access = Access::kOpenToOthers;
    // A Secret is mounted read-only, and it is root's: what is good enough for another user of the pod is for root.
    if (file.user == 0 && (file.mode & 07) == 0 && process.In(file.group)) access = Access::kSafe;
  }
  if (access == Access::kSafe) return false;
  return Refusal(path, info, access);
}

absl::Status CheckAccess(const std::string& path, const struct stat& info) {
  const Access access =
      JudgeAccess({info.st_uid, info.st_gid, info.st_mode & kPermissions}, ProcessOwner::OfThisProcess());
  return access == Access::kSafe ? absl::OkStatus() : Refusal(path, info, access);
}

absl::Status CannotOpen(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return ErrnoStatus(EACCES, absl::StrCat("open ", path));
  return absl::PermissionDeniedError(absl::StrFormat(
      "%s: this process's user (%d) cannot read it: it belongs to user %d, group %d, mode %04o: chown %d %s%s", path,
      geteuid(), info.st_uid, info.st_gid, info.st_mode & kPermissions, geteuid(), path,
      KubernetesAdvice(path, /*folder=*/false)));
}

absl::Status CheckLinkOwners(const std::string& path) {
  std::vector<std::string> left = Parts(path);
  std::string folder = absl::StartsWith(path, "/") ? "/" : "./";
  for (int links = 0; !left.empty() && links <= kLinksMax;) {
    const std::string next = absl::StrCat(folder, left.back());
    left.pop_back();
    struct stat info;
    if (lstat(next.c_str(), &info) != 0) return absl::OkStatus();  // opening it says why
    if (!S_ISLNK(info.st_mode)) {
      folder = absl::StrCat(next, "/");
      continue;
    }
    if (info.st_uid != 0 && info.st_uid != geteuid()) {
      return absl::PermissionDeniedError(
          absl::StrCat(path, ": ", next, " in its path is a symbolic link that user ", info.st_uid,
                       " made, who is neither root nor this process's user (", geteuid(), "): name the file itself"));
    }
    ++links;
    char target[PATH_MAX];
    const ssize_t size = readlink(next.c_str(), target, sizeof target);
    if (size <= 0) return absl::OkStatus();
    const absl::string_view leads(target, static_cast<size_t>(size));
    for (std::string& part : Parts(leads)) left.push_back(std::move(part));
    if (absl::StartsWith(leads, "/")) folder = "/";
  }
  return absl::OkStatus();
}

}  // namespace meshca
