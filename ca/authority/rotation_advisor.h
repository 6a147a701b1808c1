// What somebody who sees more of the world than the inventory can say about a rotation of the root.
#ifndef MESHCA_CA_AUTHORITY_ROTATION_ADVISOR_H_
#define MESHCA_CA_AUTHORITY_ROTATION_ADVISOR_H_

#include <string>
#include <vector>

#include "ca/authority/leaf_inventory.h"
#include "ca/authority/root_rotation.h"
#include "ca/subscribers/laggard.h"

namespace meshca {

// Answers from memory. Thread-safe.
class RotationAdvisor {
 public:
  virtual ~RotationAdvisor() = default;

  // Is it certain that nobody holds the leaf's key any more? Asked for each leaf of the inventory, so it has to be
  // quick. False where nobody knows.
  virtual bool HolderIsGone(const LiveLeaf& leaf) const = 0;

  // `laggard` describes `leaf`, which is behind: adds when its holder renews it by itself, and what an operator can do.
  virtual void AdviseOn(const LiveLeaf& leaf, const RootRotation& rotation, Laggard& laggard) const = 0;

  // Programs that have to be started anew between the publication of the new root and the retirement of the old one,
  // because they read roots once and started before: for people, with what to do, a sentence for each kind of program.
  // Nothing waits for them, since nobody can see what a program has read. `rotation` may be an imagined one.
  virtual std::vector<std::string> NeededRestarts(const RootRotation& rotation) const = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_ROTATION_ADVISOR_H_
