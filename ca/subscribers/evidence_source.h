// Sources of evidence about which trust subscribers hold. A root rotation uses the union of all sources.
#ifndef MESHCA_CA_SUBSCRIBERS_EVIDENCE_SOURCE_H_
#define MESHCA_CA_SUBSCRIBERS_EVIDENCE_SOURCE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

#include "ca/subscribers/subscriber_record.h"

namespace meshca {

// IssuanceRecord::instance of a certificate whose key this process makes and several instances on its Unix sockets
// share. None of them is named there: it may leave while others hold the key, and others come.
inline constexpr absl::string_view kSharedKeyInstance = "shared-on-unix-sockets";

// Knows what some of the subscribers hold. SubscriberRegistry is one: it knows the streams that this process serves.
// Thread-safe.
class EvidenceSource {
 public:
  virtual ~EvidenceSource() = default;

  // Every instance that is connected, or that left while its certificate may still be alive; evicted ones too, for as
  // long as they are remembered. In any order. An instance of which the source does not know what it holds is listed
  // with trust version 0, never left out.
  virtual std::vector<SubscriberRecord> List() const = 0;

  // The names (IssuanceRecord::instance) under which those certificates are recorded whose keys are shared, and whose
  // every holder is in List, or holds them no more: evicted, ended with its process, or left without anything. A
  // rotation judges the holders and not these certificates.
  virtual std::vector<std::string> SharedKeyInstances() const { return {}; }
};

// The union of several sources. An instance that two sources know is listed twice, because neither knows better than
// the other what it holds. A rotation waits until both records say that it is done.
class EvidenceUnion final : public EvidenceSource {
 public:
  // Each of `sources` outlives the union.
  explicit EvidenceUnion(std::vector<const EvidenceSource*> sources) : sources_(std::move(sources)) {}

  std::vector<SubscriberRecord> List() const override;
  std::vector<std::string> SharedKeyInstances() const override;

 private:
  const std::vector<const EvidenceSource*> sources_;
};

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_EVIDENCE_SOURCE_H_
