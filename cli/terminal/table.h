// Columns of text for people.
#ifndef MESHCA_CLI_TERMINAL_TABLE_H_
#define MESHCA_CLI_TERMINAL_TABLE_H_

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meshca::cli {

// Rows go out as they come: the first kSample decide the widths, so a list of millions needs no more memory than that.
// Cells are Printable (ca/base/printable.h), so a name from elsewhere cannot move the cursor. Not thread-safe.
class Table {
 public:
  static constexpr size_t kSample = 200;

  // `out` outlives the table.
  Table(std::vector<std::string> headers, std::FILE* out);
  // Prints what is left; the headers stand even over no row.
  ~Table();
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  // As many cells as headers.
  void Add(std::vector<std::string> row);

 private:
  void Settle();
  void Print(const std::vector<std::string>& row);

  std::FILE* const out_;
  std::vector<std::vector<std::string>> sample_;  // the headers first
  std::vector<size_t> widths_;                    // empty until settled
};

// The beginning of a long hex string, enough to tell one from another: "3f9a12cd6b70..". Short ones stay whole.
std::string ShortenHex(absl::string_view hex);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_TERMINAL_TABLE_H_
