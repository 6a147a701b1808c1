// What a CA tells its agents to do, beside what they shall know.
#ifndef MESHCA_CLI_AGENT_CA_ORDERS_H_
#define MESHCA_CLI_AGENT_CA_ORDERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace meshca::agent {

// Which keys an order is about: those of these identities, and those with these certificates.
struct ChosenKeys {
  std::vector<std::string> spiffe_ids;
  std::vector<std::string> serials;  // lower-case hex

  bool Contains(const std::string& spiffe_id, const std::string& serial) const;
};

// Runs on the agent's executor, in the order in which the CA spoke. Must not block.
class CaOrders {
 public:
  virtual ~CaOrders() = default;

  // Drop the keys with these certificates, end their streams, and ask for none of them again. Of the identities
  // JWT-SVIDs alone are dropped: a certificate that came after those is theirs still. `reason` is for people.
  virtual void StopServing(const ChosenKeys& keys, const std::string& reason) = 0;

  // New keys and certificates at once, outside any permit.
  virtual void RenewNow(const ChosenKeys& keys) = 0;

  // Keys whose certificates these authorities signed (lower-case hex SHA-256 of their SubjectPublicKeyInfo) are to be
  // replaced: `certificates` of them, spread over `within`, and no more until the next permit.
  virtual void PermitReissue(const std::vector<std::string>& authority_ids, uint32_t certificates,
                             absl::Duration within) = 0;
};

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_CA_ORDERS_H_
