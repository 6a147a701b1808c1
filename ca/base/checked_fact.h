// What one look at the server's health found.
#ifndef MESHCA_CA_BASE_CHECKED_FACT_H_
#define MESHCA_CA_BASE_CHECKED_FACT_H_

#include <string>

namespace meshca {

// One line of `meshca check`.
struct CheckedFact {
  enum class State { kOk, kWarning, kFailed };
  std::string name;
  State state = State::kOk;
  std::string detail;
  std::string mend;  // the command or step that mends it; "" when Ok
};

}  // namespace meshca

#endif  // MESHCA_CA_BASE_CHECKED_FACT_H_
