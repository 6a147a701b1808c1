#include "cli/terminal/live_lines.h"

#include <sys/ioctl.h>

#include "absl/strings/str_cat.h"
#include "ca/base/printable.h"
#include "cli/terminal/output.h"

namespace meshca::cli {
namespace {

// At most `columns` bytes, and no half of a character.
std::string CutToColumns(std::string line, size_t columns) {
  if (line.size() <= columns) return line;
  while (columns > 0 && (static_cast<unsigned char>(line[columns]) & 0xc0) == 0x80) --columns;
  line.resize(columns);
  return line;
}

}  // namespace

size_t TerminalWidth(std::FILE* out) {
  winsize size = {};
  if (::ioctl(::fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

void LiveLines::Redraw(const std::vector<std::string>& lines) {
  // One write a drawing, so that nothing flickers. The last column stays free: some terminals wrap when it is filled.
  const size_t columns = width_() - 1;
  std::string text;
  if (drawn_ > 0) absl::StrAppend(&text, "\033[", drawn_, "A\r\033[J");
  for (const std::string& line : lines) absl::StrAppend(&text, CutToColumns(Printable(line), columns), "\n");
  PutRaw(out_, text);
  Flush(out_);
  drawn_ = lines.size();
}

}  // namespace meshca::cli
