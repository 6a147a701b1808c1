// A row that grants trust, as a table returns it: its MACs have not been checked yet.
#ifndef MESHCA_STORAGE_WITH_MAC_H_
#define MESHCA_STORAGE_WITH_MAC_H_

#include <string>

namespace meshca::storage {

// `value` must not be used before its MACs were checked. Rules obtain it only through Verified (trust_macs.h).
template <typename Value>
struct WithMac {
  Value value;
  std::string mac;             // the stored bytes
  std::string added_mac = {};  // of the columns that its table got later; "" where it got none, or the row is older
};

// What is stored with a row whose table got columns later.
struct RowMacs {
  std::string mac;
  std::string added_mac;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_WITH_MAC_H_
