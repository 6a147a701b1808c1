// A row that grants trust, as a table returns it: its MAC has not been checked yet.
#ifndef MESHCA_STORAGE_WITH_MAC_H_
#define MESHCA_STORAGE_WITH_MAC_H_

#include <string>

namespace meshca::storage {

// `value` must not be used before its MAC was checked. Rules obtain it only through Verified (trust_macs.h).
template <typename Value>
struct WithMac {
  Value value;
  std::string mac;  // the stored bytes
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_WITH_MAC_H_
