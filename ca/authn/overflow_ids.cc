#include "ca/authn/overflow_ids.h"

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/base/file.h"

namespace meshca {
namespace {

constexpr size_t kFileBytesMax = 64;
constexpr uint32_t kNone = 0xffffffff;

void ReadNumber(const char* path, uint32_t& number) {
  const absl::StatusOr<std::string> text = ReadFile(path, kFileBytesMax, FileSecrecy::kPublic);
  uint32_t value = 0;
  if (text.ok() && absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &value)) number = value;
}

std::string FaultOf(absl::string_view kind, uint32_t number, uint32_t overflow) {
  if (number == kNone) return absl::StrCat(kind, " ", number, " is no ", kind == "uid" ? "user" : "group");
  if (number != overflow) return "";
  const absl::string_view who = kind == "uid" ? "user" : "group";
  return absl::StrCat(kind, " ", number, " is what the kernel shows for every ", who,
                      " without a number in this user namespace, and so names nobody; give the workload a ", kind,
                      " of its own (", kind == "uid" ? "the user nobody" : "the group nogroup",
                      " has this number on most systems, and cannot hold an identity)");
}

}  // namespace

const OverflowIds& OverflowIds::OfKernel() {
  static const OverflowIds kIds = [] {
    OverflowIds ids;
    ReadNumber("/proc/sys/kernel/overflowuid", ids.uid);
    ReadNumber("/proc/sys/kernel/overflowgid", ids.gid);
    return ids;
  }();
  return kIds;
}

std::string OverflowIds::UidFault(uint32_t number) const { return FaultOf("uid", number, uid); }
std::string OverflowIds::GidFault(uint32_t number) const { return FaultOf("gid", number, gid); }

}  // namespace meshca
