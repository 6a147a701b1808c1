// Names that many objects have, kept once.
#ifndef MESHCA_CA_KUBERNETES_NAME_TABLE_H_
#define MESHCA_CA_KUBERNETES_NAME_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace meshca::kubernetes {

// Gives each name a small number, for as long as anybody has it. Not thread-safe.
class NameTable {
 public:
  using Number = uint32_t;
  static constexpr Number kNone = UINT32_MAX;

  // The number of `name`; the taker has it until Drop. kNone for "", which need not be dropped.
  Number Take(absl::string_view name);
  void Drop(Number number);

  // kNone: nobody has the name.
  Number Find(absl::string_view name) const;
  // "" for kNone. Good until the name is dropped.
  absl::string_view Text(Number number) const;
  // One more than the largest number there is or was.
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string text;
    uint32_t holders = 0;
  };
  std::deque<Entry> entries_;  // by number; a deque, for the map's keys point into its texts
  std::vector<Number> free_;
  absl::flat_hash_map<absl::string_view, Number> numbers_;
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_NAME_TABLE_H_
