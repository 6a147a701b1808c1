#include "ca/base/glob.h"

namespace meshca {

bool GlobMatches(absl::string_view pattern, absl::string_view text) {
  // One remembered star is enough: a later star makes every earlier choice irrelevant.
  size_t p = 0, t = 0, star = absl::string_view::npos, star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != absl::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace meshca
