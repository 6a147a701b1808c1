// Handshakes of sources whose handshakes fail: a few at a time, so that strangers' failures cost strangers.
#ifndef MESHCA_CA_RPC_PACED_LANES_H_
#define MESHCA_CA_RPC_PACED_LANES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace meshca::rpc {

// One loop's connections that wait for a step of a paced handshake. Nobody can tell at accept whether a neighbour of an
// attacker comes or the attacker again, so neither is refused: they wait here, and the steps of all of them together
// take a third of the loop's time. Three lanes: handshakes that have begun (they hold memory, and end), those from
// addresses where somebody with a certificate came from lately, and the others; the last two take turns. Within a lane
// chance decides: an order of arrival would serve those alone who have waited so long that they are gone. One thread.
class PacedLanes {
 public:
  enum class Lane : uint8_t { kBegun, kKnown, kUnknown };

  // Base of what waits; removed before it is destroyed.
  class Entry {
   public:
    Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    bool in_lane() const { return lane_ != kNone; }

   protected:
    ~Entry() = default;

   private:
    friend class PacedLanes;
    static constexpr uint8_t kNone = 0xff;
    uint8_t lane_ = kNone;
    uint32_t slot_ = 0;
  };

  // `seed` makes the choice.
  explicit PacedLanes(uint64_t seed) : chance_(seed | 1) {}

  void Add(Entry& entry, Lane lane);
  // Nothing for an entry that does not wait.
  void Remove(Entry& entry);
  bool empty() const { return waiting_ == 0; }
  size_t size() const { return waiting_; }

  // Whether the budget of time allows a step at `now_ns`.
  bool Ready(int64_t now_ns);
  // Takes out whose turn it is; null when nobody waits.
  Entry* Next();
  // Some number, for whoever else lets chance decide on this loop.
  uint64_t Chance();
  // A step took so much of a core.
  void Spend(int64_t nanoseconds) { credit_ns_ -= nanoseconds; }

 private:
  // Of the time that passes, one part in so many.
  static constexpr int64_t kShare = 3;
  // What may be saved up: some steps, for a loop that comes round late because the machine is busy.
  static constexpr int64_t kCreditMaxNs = 5'000'000;

  std::array<std::vector<Entry*>, 3> lanes_;
  size_t waiting_ = 0;
  bool known_next_ = true;
  uint64_t chance_;
  int64_t credit_ns_ = kCreditMaxNs;
  int64_t counted_ns_ = 0;  // credit was given up to here
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_PACED_LANES_H_
