#include "cli/terminal/table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/printable.h"
#include "cli/terminal/output.h"

namespace meshca::cli {

Table::Table(std::vector<std::string> headers, std::FILE* out) : out_(out) { sample_.push_back(std::move(headers)); }

Table::~Table() {
  if (widths_.empty()) Settle();
}

void Table::Add(std::vector<std::string> row) {
  for (std::string& cell : row) {
    cell = Printable(cell);
    if (cell.empty()) cell = "-";
  }
  if (!widths_.empty()) return Print(row);
  MESHCA_CHECK(row.size() == sample_.front().size());
  sample_.push_back(std::move(row));
  if (sample_.size() > kSample) Settle();
}

void Table::Settle() {
  widths_.assign(sample_.front().size(), 0);
  for (const auto& row : sample_) {
    for (size_t i = 0; i < row.size(); ++i) widths_[i] = std::max(widths_[i], row[i].size());
  }
  for (const auto& row : sample_) Print(row);
  sample_.clear();
}

void Table::Print(const std::vector<std::string>& row) {
  std::string line;
  for (size_t i = 0; i < row.size(); ++i) {
    line += row[i];
    if (i + 1 == row.size()) break;
    line.append(row[i].size() < widths_[i] ? widths_[i] - row[i].size() + 2 : 2, ' ');
  }
  line += '\n';
  PutRaw(out_, line);
}

std::string ShortenHex(absl::string_view hex) {
  return hex.size() <= 16 ? std::string(hex) : absl::StrCat(hex.substr(0, 12), "..");
}

}  // namespace meshca::cli
