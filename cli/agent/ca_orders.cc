#include "cli/agent/ca_orders.h"

#include <algorithm>

namespace meshca::agent {

bool ChosenKeys::Contains(const std::string& spiffe_id, const std::string& serial) const {
  return std::find(spiffe_ids.begin(), spiffe_ids.end(), spiffe_id) != spiffe_ids.end() ||
         std::find(serials.begin(), serials.end(), serial) != serials.end();
}

}  // namespace meshca::agent
