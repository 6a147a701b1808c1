#include "cli/process/socket_reach.h"

#include <sys/stat.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace meshca::cli {

std::string WhyOthersCannotReach(const std::string& socket) {
  std::filesystem::path folder;
  for (const std::filesystem::path& part : std::filesystem::path(socket).parent_path()) {
    folder /= part;
    struct stat info {};
    // Whoever cannot pass a folder cannot look below it: that folder was found before.
    if (::stat(folder.c_str(), &info) != 0) return "";
    if (S_ISDIR(info.st_mode) && (info.st_mode & S_IXOTH) == 0) {
      return absl::StrFormat("%s (mode %04o) lets no other user pass", folder.string(), info.st_mode & 07777);
    }
  }
  return "";
}

std::string ShutSocketNote(const std::string& why) {
  if (why.empty()) return "";
  return absl::StrCat("note         no other user reaches the API socket: ", why,
                      "; --api-socket PATH puts it elsewhere\n");
}

}  // namespace meshca::cli
