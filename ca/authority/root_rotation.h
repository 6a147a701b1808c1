// One rotation of the root, as it is stored: where it stands, and since when.
//
//   prepare     the new root N exists beside the old root O, and N's key is certified by O; nothing is published
//   distribute  the bundle holds O and N; waits until every live subscriber has acknowledged it
//   reissue     an issuing authority under N signs; subscribers get new keys within the issuance budget
//   drain       waits until no live certificate under O is left
//   retire      the bundle holds N alone, O's key is destroyed; waits until every live subscriber has acknowledged it
//   done
//
// Each step is committed before it is acted on, in one transaction with the authorities and the bundle it speaks of,
// and doing one again changes nothing: a server that was killed goes on from the row.
#ifndef MESHCA_CA_AUTHORITY_ROOT_ROTATION_H_
#define MESHCA_CA_AUTHORITY_ROOT_ROTATION_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace meshca {

// The numbers are stored: never reuse one.
enum class RotationStep { kPrepare = 1, kDistribute = 2, kReissue = 3, kDrain = 4, kRetire = 5, kDone = 6 };

// "prepare", "distribute", ...
absl::string_view RotationStepName(RotationStep step);

struct RootRotation {
  uint64_t number = 0;  // 1, 2, ... in the order begun
  RotationStep step = RotationStep::kPrepare;
  // SigningAuthority::id. After a rollback the two have changed places: the way back is a rotation too.
  std::string old_root_id;
  std::string new_root_id;
  // Takes each step by itself when the evidence is there. False: begun by `root prepare`, and waits for `root activate`
  // and `root retire`.
  bool automatic = false;
  bool emergency = false;  // the old root is taken for stolen, and tainted
  bool rolled_back = false;
  // Somebody has seen to the consumers that nothing here can observe.
  bool external_confirmed = false;
  // Whoever is not done by then is cut off, and named in the audit log. InfiniteFuture: nobody is. WaitsForever(): nor
  // does an emergency go on without those who are silent.
  absl::Time deadline = absl::InfiniteFuture();
  std::string actor;  // who began it
  absl::Time started_at;
  absl::Time step_at;  // when `step` began
  // The first bundle that holds both roots, and when it was published; 0 and InfiniteFuture until then.
  uint64_t bundle_sequence = 0;
  absl::Time published_at = absl::InfiniteFuture();
  // The first bundle without the old root; 0 until then.
  uint64_t retire_sequence = 0;
  // Who forced which step and what that broke, one sentence each; "" for a rotation that needed none.
  std::string forced;

  bool Ended() const { return step == RotationStep::kDone; }

  // The deadline of an emergency that waits for every subscriber, however long it is silent. A time that never comes,
  // one microsecond before the end of all times, so that it is stored under the row's MAC without a column of its own,
  // and a version that knows nothing of it waits for ever too.
  static absl::Time WaitsForever();
  bool GoesOnWithoutTheSilent() const { return emergency && deadline != WaitsForever(); }
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROOT_ROTATION_H_
