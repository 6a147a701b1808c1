// Where evidence comes from. A rotation sees the union of all sources.
#ifndef MESHCA_CA_SUBSCRIBERS_EVIDENCE_SOURCE_H_
#define MESHCA_CA_SUBSCRIBERS_EVIDENCE_SOURCE_H_

#include <utility>
#include <vector>

#include "ca/subscribers/subscriber_record.h"

namespace meshca {

// Somebody who knows what some of the subscribers hold: the streams that this process serves (SubscriberRegistry).
// Thread-safe.
class EvidenceSource {
 public:
  virtual ~EvidenceSource() = default;

  // Every instance that is connected, or left while its certificate may still live; evicted ones too, for as long as
  // they are remembered. In any order. A source never leaves out an instance because it does not know what that holds:
  // such a one holds trust version 0.
  virtual std::vector<SubscriberRecord> List() const = 0;
};

// The union of several sources. An instance that two of them know stands in it twice, because neither knows better than
// the other what it holds: the rotation waits until both say that it is done.
class EvidenceUnion final : public EvidenceSource {
 public:
  // Each of `sources` outlives the union.
  explicit EvidenceUnion(std::vector<const EvidenceSource*> sources) : sources_(std::move(sources)) {}

  std::vector<SubscriberRecord> List() const override;

 private:
  const std::vector<const EvidenceSource*> sources_;
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_EVIDENCE_SOURCE_H_
