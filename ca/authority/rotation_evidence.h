// Whether a rotation may go on: pure functions of what is known.
#ifndef MESHCA_CA_AUTHORITY_ROTATION_EVIDENCE_H_
#define MESHCA_CA_AUTHORITY_ROTATION_EVIDENCE_H_

#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ca/authority/leaf_inventory.h"
#include "ca/authority/root_rotation.h"
#include "ca/authority/rotation_control.h"
#include "ca/authority/subscriber_store.h"

namespace meshca {

struct EvidencePolicy {
  // How long the evidence of a step must have held: handshakes begun before the last acknowledgement finish under the
  // bundle before it.
  absl::Duration settle = absl::Seconds(2);
  // Added to the end of every certificate: holders whose clock is behind still show it.
  absl::Duration skew = absl::Minutes(10);
  // How long an instance that left and never had a certificate is remembered.
  absl::Duration leaf_lifetime = absl::Hours(24);
};

// What the judgement of one moment rests on. Leaves are streamed past it, because there may be millions.
struct RotationFacts {
  absl::Time now;
  RootRotation rotation;
  std::vector<SubscriberRecord> subscribers;
  std::map<std::string, std::string> root_of;  // authority id -> root id, retired ones included
  bool cross_certified = true;                 // holders of the old root alone can verify what the new one signs
};

// The evidence a step needs before it may end. Subscribers are judged by what they acknowledged; leaves are taken one
// by one by AddLeaf, those that belong to a known subscriber left out, because that subscriber was judged already.
class EvidenceJudge {
 public:
  // Before activation: every instance holds a bundle with both roots.
  // Before retirement: every instance holds such a bundle and, where it takes a key, one under the new root.
  // Before the end: every instance holds a bundle without the old root.
  enum class For { kActivation, kRetirement, kEnd };

  EvidenceJudge(For step, const RotationFacts& facts, const EvidencePolicy& policy);

  // The leaves this step depends on; nothing: none of them.
  std::optional<LeafQuery> Query(const std::string& own_spiffe_id) const;
  void AddLeaf(const LiveLeaf& leaf);

  RotationEvidence Take() &&;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_EVIDENCE_H_
