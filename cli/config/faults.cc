#include "cli/config/faults.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "cli/config/loader.h"

namespace meshca::config {
namespace {

// Changes of one character that make `a` into `b`; two neighbours that changed places count as one.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    before_last = last;
    last = row;
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

}  // namespace

void Faults::Add(Place place, absl::string_view key, absl::string_view sentence) {
  std::string line = source_;
  if (place.line > 0) absl::StrAppend(&line, ":", place.line, ":", place.column);
  if (!line.empty()) line += ": ";
  if (!key.empty()) absl::StrAppend(&line, key, ": ");
  absl::StrAppend(&line, sentence);
  faults_.emplace_back(place, std::move(line));
}

absl::Status Faults::ToStatus() const {
  if (faults_.empty()) return absl::OkStatus();
  auto sorted = faults_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return std::make_pair(a.first.line, a.first.column) < std::make_pair(b.first.line, b.first.column);
  });
  std::string text;
  for (size_t i = 0; i < std::min(sorted.size(), kFaultsShown); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : "\n", sorted[i].second);
  }
  if (sorted.size() > kFaultsShown) absl::StrAppend(&text, "\n... and ", sorted.size() - kFaultsShown, " more");
  return WithReason(absl::InvalidArgumentError(text), "CONFIG_INVALID");
}

std::string DidYouMean(absl::string_view word, const std::vector<std::string>& names) {
  if (word.size() > 64) return "";
  const std::string* best = nullptr;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& name : names) {
    const size_t distance = EditDistance(word, name);
    if (distance >= best_distance) continue;
    best = &name;
    best_distance = distance;
  }
  return best == nullptr ? "" : *best;
}

}  // namespace meshca::config
