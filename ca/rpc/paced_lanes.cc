#include "ca/rpc/paced_lanes.h"

#include <algorithm>

#include "ca/base/check.h"

namespace meshca::rpc {

void PacedLanes::Add(Entry& entry, Lane lane) {
  MESHCA_CHECK(!entry.in_lane());
  std::vector<Entry*>& entries = lanes_[static_cast<size_t>(lane)];
  entry.lane_ = static_cast<uint8_t>(lane);
  entry.slot_ = static_cast<uint32_t>(entries.size());
  entries.push_back(&entry);
  ++waiting_;
}

void PacedLanes::Remove(Entry& entry) {
  if (!entry.in_lane()) return;
  std::vector<Entry*>& entries = lanes_[entry.lane_];
  entries[entry.slot_] = entries.back();
  entries[entry.slot_]->slot_ = entry.slot_;
  entries.pop_back();
  entry.lane_ = Entry::kNone;
  --waiting_;
}

bool PacedLanes::Ready(int64_t now_ns) {
  credit_ns_ = std::min(kCreditMaxNs, credit_ns_ + std::max<int64_t>(0, now_ns - counted_ns_) / kShare);
  counted_ns_ = now_ns;
  return credit_ns_ > 0;
}

PacedLanes::Entry* PacedLanes::Next() {
  if (waiting_ == 0) return nullptr;
  size_t lane = static_cast<size_t>(Lane::kBegun);
  if (lanes_[lane].empty()) {
    lane = static_cast<size_t>(known_next_ ? Lane::kKnown : Lane::kUnknown);
    if (lanes_[lane].empty()) lane = static_cast<size_t>(known_next_ ? Lane::kUnknown : Lane::kKnown);
    known_next_ = !known_next_;
  }
  std::vector<Entry*>& entries = lanes_[lane];
  Entry* const entry = entries[Chance() % entries.size()];
  Remove(*entry);
  return entry;
}

// xorshift64: nobody outside sees the order, so nothing needs to be unpredictable beyond the seed.
uint64_t PacedLanes::Chance() {
  chance_ ^= chance_ << 13;
  chance_ ^= chance_ >> 7;
  chance_ ^= chance_ << 17;
  return chance_;
}

}  // namespace meshca::rpc
