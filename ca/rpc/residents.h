// Who has a place on a loop, in the order in which they would give it to somebody else.
#ifndef MESHCA_CA_RPC_RESIDENTS_H_
#define MESHCA_CA_RPC_RESIDENTS_H_

#include <cstddef>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "ca/rpc/source_table.h"

namespace meshca::rpc {

// The connections of one kind (Room) on one loop, by source. When all places are taken, the source that has the most
// gives one up: of its connections the one that has been without a call for longest, and only when all have one, that
// whose calls are oldest. So a crowd costs itself, however it came to be one. Every step takes constant time, except
// that the largest source is looked for anew when an eighth of it has gone. One thread.
class Residents {
  struct Crowd;

 public:
  // Base of what lives here; removed before it is destroyed.
  class Entry {
   public:
    Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   protected:
    ~Entry() = default;

   private:
    friend class Residents;
    Entry* previous_ = nullptr;
    Entry* next_ = nullptr;
    Crowd* crowd_ = nullptr;  // null: not a resident
    bool busy_ = false;
  };

  Residents() = default;
  Residents(const Residents&) = delete;
  Residents& operator=(const Residents&) = delete;
  ~Residents();

  // `source` lives until the entry is removed. The entry is idle.
  void Add(Entry& entry, const Source& source);
  // Nothing for an entry that is no resident.
  void Remove(Entry& entry);
  // The entry did something just now; `busy`: it has an open call.
  void Touch(Entry& entry, bool busy);

  // Who of `source` gives way; null when it has nobody here.
  Entry* IdlestOf(const Source& source) const;
  // Who of the source with the most connections here gives way; null when nobody is here.
  Entry* IdlestOfTheLargest();
  // The source of a resident.
  static const Source& SourceOf(const Entry& entry);

  size_t sources() const { return crowds_.size(); }

 private:
  struct List {
    Entry* first = nullptr;
    Entry* last = nullptr;
  };
  struct Crowd {
    const Source* source = nullptr;
    size_t count = 0;
    List idle;
    List busy;
  };
  static void Append(List& list, Entry& entry);
  static void Unlink(List& list, Entry& entry);
  static Entry* IdlestIn(const Crowd& crowd) {
    return crowd.idle.first != nullptr ? crowd.idle.first : crowd.busy.first;
  }

  absl::flat_hash_map<const Source*, std::unique_ptr<Crowd>> crowds_;
  Crowd* largest_ = nullptr;   // the largest, less what was removed from it since it was looked for
  size_t largest_before_ = 0;  // its count then
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_RESIDENTS_H_
