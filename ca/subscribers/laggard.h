// Who holds up a step of a rotation, and how many: what judged evidence comes to.
#ifndef MESHCA_CA_SUBSCRIBERS_LAGGARD_H_
#define MESHCA_CA_SUBSCRIBERS_LAGGARD_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/subscribers/trust_version.h"

namespace meshca {

// Who is not done yet: one subscriber instance, or one live leaf whose holder takes nothing from this server.
struct Laggard {
  enum class Reason {
    kNotAcknowledged,  // a subscriber that does not hold the bundle that it needs
    kRejected,         // the same, and it said no: `detail` is what it said
    kOldKey,           // a subscriber whose key is under the old root
    kLiveLeaf,         // a leaf under the old root, or from before the new root was published, not yet renewed
    kRootsUnobserved,  // takes its key here and its roots from a place that nothing here can see
  };
  Reason reason = Reason::kNotAcknowledged;
  std::string spiffe_id;
  std::string instance;  // of a subscriber: for `meshca subscriber evict`; "" for a leaf of a foreign client
  std::string node;
  std::string via;                 // SubscriberRecord::kind, or how the leaf's caller proved who it is
  bool connected = false;          // a subscriber with a stream open
  TrustVersion trust_version = 0;  // held; 0: none, or unknown
  std::string serial;              // of the leaf held; "" for none
  absl::Time since;                // behind since then
  absl::Time until =
      absl::InfiniteFuture();  // counts no more then, whatever happens; InfiniteFuture: for as long as it is connected
  std::string detail;
};

absl::string_view LaggardReasonName(Laggard::Reason reason);  // "not-acknowledged", ...
// "spiffe://td/web on node-1 (pid 4242): holds bundle 3 of 4 since 20:15:00Z; ...": one line for people.
std::string LaggardText(const Laggard& laggard);

// Whether a step's evidence is there, and who is missing.
struct RotationEvidence {
  uint64_t subscribers = 0;         // instances that count
  uint64_t subscribers_behind = 0;  // of those
  uint64_t leaves_behind = 0;       // live leaves that count by expiry or renewal alone
  // The first of those who are behind, subscribers before leaves, never more than kLaggardsShown; the counts are whole.
  std::vector<Laggard> laggards;
  uint64_t connected_behind = 0;  // of subscribers_behind: they have to act themselves
  // When the last of the others counts no more, whatever happens; InfinitePast: there are none.
  absl::Time until = absl::InfinitePast();

  static constexpr size_t kLaggardsShown = 100;
  bool Satisfied() const { return subscribers_behind == 0 && leaves_behind == 0; }
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_LAGGARD_H_
