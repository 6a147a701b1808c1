// What only the database itself can say of its soundness.
#ifndef MESHCA_STORAGE_CONSISTENCY_H_
#define MESHCA_STORAGE_CONSISTENCY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace meshca::storage {

// For `meshca check`, beside what the rules verify (store_check.h). Each finding is a text for the operator.
class Consistency {
 public:
  virtual ~Consistency() = default;

  // Is what holds the rows (pages, indexes) sound?
  virtual void CheckStructure(std::vector<std::string>& findings) = 0;
  // Do the counters of issuances equal the rows, and is every name there that an issuance refers to?
  virtual void CheckIssuances(std::vector<std::string>& findings) = 0;

  // The first failure of the database itself on this connection: a disk that does not answer is no proof of damage.
  virtual absl::Status fault() const = 0;
  // "database /var/lib/meshca/meshca.db", for messages.
  virtual std::string name() const = 0;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_CONSISTENCY_H_
