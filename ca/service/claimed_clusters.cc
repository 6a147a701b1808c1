#include "ca/service/claimed_clusters.h"

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"

namespace meshca {
namespace {

constexpr char kOther[] = "other";

bool HasForm(absl::string_view claimed) {
  return claimed.size() <= ClaimedClusters::kBytesMax && absl::c_all_of(claimed, [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-' || c == '/';
         });
}

}  // namespace

std::string ClaimedClusters::ToRecord(absl::string_view claimed) {
  if (claimed.empty()) return "";
  if (!HasForm(claimed)) return kOther;
  MutexLock lock(mutex_);
  if (!seen_.contains(claimed)) {
    if (seen_.size() == kMax) return kOther;
    seen_.emplace(claimed);
  }
  return std::string(claimed);
}

}  // namespace meshca
