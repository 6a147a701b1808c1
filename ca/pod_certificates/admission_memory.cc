#include "ca/pod_certificates/admission_memory.h"

#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "ca/base/file.h"
#include "ca/base/log.h"

namespace meshca {
namespace {

constexpr size_t kFileBytesMax = 4096;

// Two lines: since when, and of which edition.
std::string TextOf(const AdmissionMemory::Seen& seen) {
  return absl::StrCat(absl::FormatTime(absl::RFC3339_full, seen.guarded_since, absl::UTCTimeZone()), "\n", seen.edition,
                      "\n");
}

absl::StatusOr<AdmissionMemory::Seen> Read(const std::string& file) {
  const absl::StatusOr<std::string> text = ReadFile(file, kFileBytesMax, FileSecrecy::kSecret);
  if (!text.ok()) return text.status();
  const std::pair<absl::string_view, absl::string_view> lines = absl::StrSplit(*text, absl::MaxSplits('\n', 1));
  AdmissionMemory::Seen seen;
  std::string why;
  absl::string_view edition = lines.second;
  const bool ends = absl::ConsumeSuffix(&edition, "\n");
  if (!ends || edition.empty() || !absl::ParseTime(absl::RFC3339_full, lines.first, &seen.guarded_since, &why)) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": is not what was written there"));
  }
  seen.edition = std::string(edition);
  return seen;
}

}  // namespace

AdmissionMemory::AdmissionMemory(std::string file) : file_(std::move(file)) {
  if (file_.empty()) return;
  absl::StatusOr<Seen> seen = Read(file_);
  if (seen.ok()) {
    kept_ = *std::move(seen);
  } else if (!absl::IsNotFound(seen.status())) {
    LogWarning(
        "what was seen of the admission policy before the start is not known: requests from before it are not signed",
        {{"error", std::string(seen.status().message())}});
  }
}

void AdmissionMemory::Keep(const Seen& seen) {
  if (file_.empty() || seen == kept_) return;
  const absl::Status written = ReplacePrivateFile(file_, TextOf(seen));
  if (written.ok()) {
    kept_ = seen;
    warned_ = false;
  } else if (!std::exchange(warned_, true)) {
    LogWarning("what is seen of the admission policy cannot be kept for the next start",
               {{"error", std::string(written.message())}});
  }
}

}  // namespace meshca
