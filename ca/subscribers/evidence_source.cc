#include "ca/subscribers/evidence_source.h"

#include <iterator>

namespace meshca {

std::vector<SubscriberRecord> EvidenceUnion::List() const {
  std::vector<SubscriberRecord> all;
  for (const EvidenceSource* source : sources_) {
    std::vector<SubscriberRecord> records = source->List();
    if (all.empty()) {
      all = std::move(records);  // most often there is one source, and it may know ten thousand
      continue;
    }
    all.insert(all.end(), std::make_move_iterator(records.begin()), std::make_move_iterator(records.end()));
  }
  return all;
}

std::vector<std::string> EvidenceUnion::SharedKeyInstances() const {
  std::vector<std::string> all;
  for (const EvidenceSource* source : sources_) {
    for (std::string& name : source->SharedKeyInstances()) all.push_back(std::move(name));
  }
  return all;
}

}  // namespace meshca
