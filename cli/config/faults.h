// What is wrong with a configuration, all at once: whoever mends a file wants the whole list.
#ifndef MESHCA_CLI_CONFIG_FAULTS_H_
#define MESHCA_CLI_CONFIG_FAULTS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace meshca::config {

// A place in a file, from 1; 0 where there is none.
struct Place {
  int line = 0;
  int column = 0;
};

// Faults of one file, or of what was given elsewhere. Not thread-safe.
class Faults {
 public:
  // `source`: the file's name, or "" when each fault says itself where it comes from.
  explicit Faults(absl::string_view source) : source_(source) {}

  // `key` may be "" (the file itself).
  void Add(Place place, absl::string_view key, absl::string_view sentence);
  bool empty() const { return faults_.empty(); }
  size_t size() const { return faults_.size(); }

  // Ok without faults; else InvalidArgument (reason CONFIG_INVALID), a line each, in the file's order.
  absl::Status ToStatus() const;

 private:
  const std::string source_;
  std::vector<std::pair<Place, std::string>> faults_;
};

// The name among `names` that `word` is a slip of, or "".
std::string DidYouMean(absl::string_view word, const std::vector<std::string>& names);

}  // namespace meshca::config

#endif  // MESHCA_CLI_CONFIG_FAULTS_H_
