// The result of judging evidence: who holds up a step of a rotation, and how many they are.
#ifndef MESHCA_CA_SUBSCRIBERS_LAGGARD_H_
#define MESHCA_CA_SUBSCRIBERS_LAGGARD_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/subscribers/subscriber_record.h"
#include "ca/subscribers/trust_version.h"

namespace meshca {

// One of those who are behind: a subscriber instance, or a live leaf whose holder is no subscriber of this server.
struct Laggard {
  enum class Reason {
    kNotAcknowledged,  // a subscriber that does not hold the bundle that the step needs
    kRejected,         // such a subscriber that rejected a response (NACK): `detail` is its text
    kOldKey,           // a subscriber whose key is not under the new root yet
    kLiveLeaf,         // a leaf under the old root, or from before the new root was published, not yet renewed
    kExported,         // an issuing authority under the old root that signs elsewhere (`instance` names it)
    kRootsUnobserved,  // a subscriber that takes its key here and its roots from a place that we cannot see
  };
  Reason reason = Reason::kNotAcknowledged;
  std::string spiffe_id;
  // Of a subscriber: for `meshca subscriber evict`; "" for a leaf of a foreign client.
  std::string instance;
  std::string node;
  std::string via;                 // SubscriberRecord::kind, or how the leaf's caller proved who it is
  bool connected = false;          // a subscriber with a stream open
  TrustVersion trust_version = 0;  // that it holds; 0: none, or unknown
  std::string serial;              // of the leaf that it holds, in hex; "": none
  absl::Time since;                // since when it is behind
  absl::Time until =
      absl::InfiniteFuture();  // when it ceases to count in any case; InfiniteFuture: not while it is connected
  absl::Time renews_by =
      absl::InfiniteFuture();  // when its holder renews it by itself at the latest; InfiniteFuture: nobody can know
  std::string detail;          // for people: what to do, or the NACK's text
};

// What a subscriber says of itself. Why, since when and until when it is behind is left to whoever judged it.
Laggard LaggardOf(const SubscriberRecord& subscriber);
absl::string_view LaggardReasonName(Laggard::Reason reason);  // "not-acknowledged", ...
// "spiffe://td/web on node-1 (pid 4242)": who it is, for people. By spiffe_id, instance, node, via and reason.
std::string LaggardName(const Laggard& laggard);
// "spiffe://td/web on node-1 (pid 4242): holds bundle 3 of 4 since 20:15:00Z; ...": one line for people.
std::string LaggardText(const Laggard& laggard);

// Whether the evidence of a step is complete, and who is behind.
struct RotationEvidence {
  uint64_t subscribers = 0;         // instances that count for the step
  uint64_t subscribers_behind = 0;  // of these: how many are behind
  // Live leaves that have to expire or be renewed, and exported authorities that have to end.
  uint64_t leaves_behind = 0;
  // The first kLaggardsShown of those who are behind, subscribers before leaves. The counts include all of them.
  std::vector<Laggard> laggards;
  uint64_t connected_behind = 0;  // of subscribers_behind: those that are connected, and count until they act
  // Of `subscribers`: those that take their roots from where nobody sees them; and exported authorities, whose every
  // consumer does.
  uint64_t roots_unseen = 0;
  // When the last of all others who are behind ceases to count in any case; InfinitePast: there are no others.
  absl::Time until = absl::InfinitePast();

  static constexpr size_t kLaggardsShown = 100;
  bool Satisfied() const { return subscribers_behind == 0 && leaves_behind == 0; }
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_LAGGARD_H_
