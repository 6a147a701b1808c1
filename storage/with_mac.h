// A row that grants trust, as a table hands it out: unjudged.
#ifndef MESHCA_STORAGE_WITH_MAC_H_
#define MESHCA_STORAGE_WITH_MAC_H_

#include <string>

namespace meshca::storage {

// `value` proves nothing before its MAC was checked: trust_macs.h turns this type into the bare value, and no rule
// takes the value out by another way.
template <typename Value>
struct WithMac {
  Value value;
  std::string mac;  // the column, byte by byte
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_WITH_MAC_H_
