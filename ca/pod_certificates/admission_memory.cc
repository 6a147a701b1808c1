#include "ca/pod_certificates/admission_memory.h"

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "ca/base/file.h"
#include "ca/base/log.h"

namespace meshca {
namespace {

constexpr size_t kFileBytesMax = 4096;

// Two lines: since when, in nanoseconds since 1970, and of which edition.
std::string TextOf(const AdmissionMemory::Seen& seen) {
  return absl::StrCat(absl::ToUnixNanos(seen.guarded_since), "\n", seen.edition, "\n");
}

absl::StatusOr<AdmissionMemory::Seen> Read(const std::string& file) {
  const absl::StatusOr<std::string> text = ReadFile(file, kFileBytesMax, FileSecrecy::kSecret);
  if (!text.ok()) return text.status();
  const std::pair<absl::string_view, absl::string_view> lines = absl::StrSplit(*text, absl::MaxSplits('\n', 1));
  int64_t since = 0;
  absl::string_view edition = lines.second;
  const bool ends = absl::ConsumeSuffix(&edition, "\n");
  if (!ends || edition.empty() || !absl::SimpleAtoi(lines.first, &since)) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": is not what was written there"));
  }
  return AdmissionMemory::Seen{std::string(edition), absl::FromUnixNanos(since)};
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
