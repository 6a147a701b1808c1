// The checks of its consistency that only the database itself can make.
#ifndef MESHCA_STORAGE_CONSISTENCY_H_
#define MESHCA_STORAGE_CONSISTENCY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace meshca::storage {

// Part of `meshca check` (store_check.h). Each call adds what it found to `findings`, as texts for the operator.
class Consistency {
 public:
  virtual ~Consistency() = default;

  // Checks what holds the rows: pages and indexes.
  virtual void CheckStructure(std::vector<std::string>& findings) = 0;
  // Checks that the counters of issuances equal the rows, and that every name exists that an issuance refers to.
  virtual void CheckIssuances(std::vector<std::string>& findings) = 0;

  // The first failure of the database itself on this connection; Ok: none. If it is Unavailable (the disk does not
  // answer, say), findings do not prove that anything is damaged.
  virtual absl::Status fault() const = 0;
  // "database /var/lib/meshca/meshca.db", for messages.
  virtual std::string name() const = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_CONSISTENCY_H_
