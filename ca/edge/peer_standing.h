// Whether whoever is connected by a client certificate may still be: the edge asks it, and who keeps the authorities
// and the inventory answers.
#ifndef MESHCA_CA_EDGE_PEER_STANDING_H_
#define MESHCA_CA_EDGE_PEER_STANDING_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/x509/chain_verifier.h"

namespace meshca {

// Thread-safe.
class PeerStanding {
 public:
  virtual ~PeerStanding() = default;

  // What has become of everybody's standing.
  struct Change {
    // Somebody who stood well may not any more: judge everybody again, now.
    bool taken_away = false;
    // When the same happens by time alone, by the wall clock; InfiniteFuture: at no time known now.
    absl::Time worsens_at = absl::InfiniteFuture();
  };
  using Listener = std::function<void(const Change&)>;

  // Judges one peer as a call of his would be judged at `now`. May block on a database.
  // Unauthenticated, PermissionDenied: the verdict is against him. Any other error: there is no verdict, ask again.
  virtual absl::Status Judge(const VerifiedPeer& peer, absl::Time now) = 0;

  // Tells `listener` how it stands now, if that is known, and then of every change, in order, one at a time. It must
  // not block, nor call the standing. It lives as long as the standing hears of changes.
  virtual void Watch(Listener listener) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_EDGE_PEER_STANDING_H_
