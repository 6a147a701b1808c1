#include "ca/authn/process.h"

#include <unistd.h>

#include <cerrno>
#include <climits>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "ca/authn/executable_digest.h"
#include "ca/base/file.h"
#include "ca/base/process_stat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// The kernel lets a process have 65,536 supplementary groups.
constexpr size_t kStatusBytesMax = 1 << 20;
constexpr size_t kControlGroupBytesMax = 64 * 1024;

absl::Status ProcessError(int error, const std::string& path) {
  if (error == ESRCH) error = ENOENT;  // the process ended between open and read
  return ErrnoStatus(error, absl::StrCat("read ", path));
}

class ProcFilesystem final : public ProcessTable {
 public:
  absl::StatusOr<uint64_t> StartTime(int32_t pid) const override { return ProcessStartTicks(pid); }

  absl::StatusOr<std::string> Executable(int32_t pid) const override {
    const std::string path = absl::StrCat("/proc/", pid, "/exe");
    char buffer[PATH_MAX];
    const ssize_t size = ::readlink(path.c_str(), buffer, sizeof(buffer));
    if (size < 0) return ProcessError(errno, path);
    std::string executable(buffer, static_cast<size_t>(size));
    if (absl::EndsWith(executable, " (deleted)")) {
      return absl::NotFoundError(absl::StrCat(path, ": ", executable, ": the process outlived its program's file"));
    }
    return executable;
  }

  absl::StatusOr<std::string> ExecutableSha256(int32_t pid) const override {
    return digests_.Sha256OfFile(absl::StrCat("/proc/", pid, "/exe"));
  }

  absl::StatusOr<std::vector<uint32_t>> SupplementaryGroups(int32_t pid) const override {
    const std::string path = absl::StrCat("/proc/", pid, "/status");
    MESHCA_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kStatusBytesMax, FileSecrecy::kPublic));
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      if (!absl::ConsumePrefix(&line, "Groups:")) continue;
      std::vector<uint32_t> groups;
      for (const absl::string_view word : absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty())) {
        uint32_t group = 0;
        if (!absl::SimpleAtoi(word, &group)) return absl::InternalError(absl::StrCat(path, ": no group: ", word));
        groups.push_back(group);
      }
      return groups;
    }
    return absl::InternalError(absl::StrCat(path, " has no line Groups"));
  }

  absl::StatusOr<std::string> SystemdUnit(int32_t pid) const override {
    MESHCA_ASSIGN_OR_RETURN(const std::string text, ReadFile(absl::StrCat("/proc/", pid, "/cgroup"),
                                                             kControlGroupBytesMax, FileSecrecy::kPublic));
    return UnitOfControlGroups(text);
  }

 private:
  mutable ExecutableDigest digests_;
};

}  // namespace

const ProcessTable& SystemProcessTable() {
  static const ProcFilesystem table;
  return table;
}

std::string UnitOfControlGroups(absl::string_view text) {
  absl::string_view path;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    // number:controllers:path. systemd's own hierarchy has a name where there are several, and is the unnumbered one
    // where there is one.
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    if (fields[1] == "name=systemd") {
      path = fields[2];
      break;
    }
    if (fields[0] == "0" && fields[1].empty()) path = fields[2];
  }
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == "..") return "";  // it lies outside of what this namespace shows
    if (absl::EndsWith(part, ".slice")) continue;
    // A name that would look like a file of the kernel's has an underscore before it.
    if (absl::StartsWith(part, "_")) part.remove_prefix(1);
    for (const absl::string_view type : {".service", ".scope", ".socket", ".mount", ".swap"}) {
      if (absl::EndsWith(part, type) && part.size() > type.size()) return std::string(part);
    }
    return "";
  }
  return "";
}

}  // namespace meshca
