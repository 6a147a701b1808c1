// Which registration entries the agent of each node serves, and what a change of them means for one node.
#ifndef MESHCA_CA_AGENTS_NODE_ENTRIES_H_
#define MESHCA_CA_AGENTS_NODE_ENTRIES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "ca/identity/entry_store.h"

namespace meshca {

// The entries that agents serve, at one moment. Immutable, so any thread reads it.
class NodeEntries {
 public:
  using List = std::vector<RegistrationEntry>;

  // Of `entries`, which may be all there are, those that name nodes count. A later state has a higher `revision`.
  NodeEntries(uint64_t revision, std::shared_ptr<const List> entries);

  uint64_t revision() const { return revision_; }
  // Null: no such entry, or one that no agent serves. Pointers live as long as this object.
  const RegistrationEntry* Find(absl::string_view id) const;
  // The entries for `node`, by id.
  std::vector<const RegistrationEntry*> EntriesOf(absl::string_view node) const;
  // All that agents serve, by id.
  const std::vector<const RegistrationEntry*>& all() const { return all_; }

 private:
  const uint64_t revision_;
  const std::shared_ptr<const List> entries_;
  std::vector<const RegistrationEntry*> all_;
  // Most entries name their nodes in full and are found by them; a pattern is tried on every node.
  absl::flat_hash_map<absl::string_view, std::vector<const RegistrationEntry*>> by_node_;
  std::vector<const RegistrationEntry*> by_pattern_;
};

// As much of a node's entries as goes into one message (EntriesChange in agent.proto).
struct EntriesPart {
  bool whole = false;     // the first part of all that there are: forget what was there
  bool complete = false;  // the last part: from here on the state is `revision`'s
  std::vector<const RegistrationEntry*> put;
  std::vector<std::string> deleted;  // ids
};

// What an agent is to be told so that it comes to `revision`: parts of about `part_bytes_max` each, at least one.
struct EntriesUpdate {
  static constexpr size_t kPartBytesMax = 64 * 1024;

  uint64_t revision = 0;
  std::shared_ptr<const NodeEntries> entries;  // keeps what the parts point at
  std::vector<EntriesPart> parts;
};

// All entries of `node`, for an agent that has none, or others.
EntriesUpdate WholeOf(std::shared_ptr<const NodeEntries> entries, absl::string_view node,
                      size_t part_bytes_max = EntriesUpdate::kPartBytesMax);

// What lies between two states, found out once for all nodes. One thread at a time.
class NodeEntriesChange {
 public:
  NodeEntriesChange(std::shared_ptr<const NodeEntries> before, std::shared_ptr<const NodeEntries> after,
                    size_t part_bytes_max = EntriesUpdate::kPartBytesMax);

  // What changes for `node`; null: nothing. Nodes for which the same changes share one value, so that it can be
  // serialised once for all of them.
  std::shared_ptr<const EntriesUpdate> For(absl::string_view node);

  bool empty() const { return items_.empty(); }

 private:
  struct Item {  // an entry that differs; null on the side where there is none
    const RegistrationEntry* before = nullptr;
    const RegistrationEntry* after = nullptr;
  };
  enum class Effect : uint32_t { kNone = 0, kPut = 1, kDelete = 2 };
  static Effect EffectOn(const Item& item, absl::string_view node);
  std::shared_ptr<const EntriesUpdate> Make(std::span<const std::pair<uint32_t, Effect>> effects) const;
  void Index(uint32_t item);

  const std::shared_ptr<const NodeEntries> before_;
  const std::shared_ptr<const NodeEntries> after_;
  const size_t part_bytes_max_;
  std::vector<Item> items_;
  absl::flat_hash_map<absl::string_view, std::vector<uint32_t>> by_node_;  // items whose nodes are all named in full
  std::vector<uint32_t> by_pattern_;                                       // the others
  absl::flat_hash_map<std::vector<std::pair<uint32_t, Effect>>, std::shared_ptr<const EntriesUpdate>> made_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AGENTS_NODE_ENTRIES_H_
