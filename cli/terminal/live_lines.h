// A few lines of a terminal that are drawn again and again in the same place.
#ifndef MESHCA_CLI_TERMINAL_LIVE_LINES_H_
#define MESHCA_CLI_TERMINAL_LIVE_LINES_H_

#include <cstddef>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace meshca::cli {

// How many columns the terminal at `out` has now; 80 where it does not say.
size_t TerminalWidth(std::FILE* out);

// Not thread-safe.
class LiveLines {
 public:
  // `out` is a terminal and outlives it; `width` is asked before each drawing.
  LiveLines(std::FILE* out, std::function<size_t()> width) : out_(out), width_(std::move(width)) {}

  // Draws `lines` over those drawn before. Longer ones are cut: one that wraps would upset the count.
  void Redraw(const std::vector<std::string>& lines);
  // Takes away what was drawn; what is printed next stands in its place.
  void Clear() { Redraw({}); }

 private:
  std::FILE* const out_;
  const std::function<size_t()> width_;
  size_t drawn_ = 0;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_TERMINAL_LIVE_LINES_H_
