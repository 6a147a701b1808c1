// One rotation of the root, as it is stored: where it stands, and since when.
//
//   prepare     the new root N exists beside the old root O, and N's key is certified by O; nothing is published
//   distribute  the bundle holds O and N; waits until every live subscriber has acknowledged it
//   reissue     an issuing authority under N signs; subscribers get new keys within the issuance budget
//   drain       waits until no live certificate under O is left
//   retire      the bundle holds N alone, O's key is destroyed; waits until every live subscriber has acknowledged it
//   done
//
// Each step is committed before anything follows from it, in one transaction with the authorities and the bundle that
// it changes. A server that was killed goes on from the stored row; repeating a step changes nothing.
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
  // SigningAuthority::id of the two roots. A rollback exchanges them, because the way back is a rotation too.
  std::string old_root_id;
  std::string new_root_id;
  // True: each step is taken as soon as its evidence is complete. False: begun by `root prepare`; it waits for the
  // operator's `root activate` and `root retire`.
  bool automatic = false;
  bool emergency = false;  // the old root's key is considered stolen, and the root is tainted
  bool rolled_back = false;
  // The operator says that clients which take their roots from elsewhere, unseen by us, have the new root.
  bool external_confirmed = false;
  // From then on steps are taken without complete evidence, and the audit log names who was behind. InfiniteFuture: no
  // deadline. WaitsForever(): no deadline either, and an emergency has no grace after which it goes on.
  absl::Time deadline = absl::InfiniteFuture();
  std::string actor;  // who began it
  absl::Time started_at;
  absl::Time step_at;  // when `step` began
  // The sequence number of the first bundle with both roots, and when it was published; 0 and InfiniteFuture before. Of
  // a root that was trusted before the rotation began, by a set that listed it: of the bundle then, and the last moment
  // before `started_at`.
  uint64_t bundle_sequence = 0;
  absl::Time published_at = absl::InfiniteFuture();
  // The sequence number of the first bundle without the old root; 0 before.
  uint64_t retire_sequence = 0;
  // Who forced which step and whom that cut off, in sentences; "" if no step was forced.
  std::string forced;

  bool Ended() const { return step == RotationStep::kDone; }

  // Was the new root trusted before the rotation began? False until it is known, which is from `distribute` on.
  bool RootWasTrusted() const { return published_at < started_at; }

  // A value of `deadline` for an emergency that waits for every subscriber, however long it is silent: a time that
  // never comes, one microsecond before the largest time that a row can hold. So it needs no column of its own, is
  // covered by the row's MAC, and makes versions that do not know it wait for ever too.
  static absl::Time WaitsForever();
  bool GoesOnWithoutTheSilent() const { return emergency && deadline != WaitsForever(); }
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROOT_ROTATION_H_
