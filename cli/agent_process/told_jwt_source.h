// JWT-SVIDs for this node's workloads, from the CA.
#ifndef MESHCA_CLI_AGENT_PROCESS_TOLD_JWT_SOURCE_H_
#define MESHCA_CLI_AGENT_PROCESS_TOLD_JWT_SOURCE_H_

#include "cli/agent/minted_jwts.h"
#include "sds/jwt_source.h"

namespace meshca::cli {

// Hands on what MintedJwts has or gets. Thread-safe.
class ToldJwtSource final : public sds::JwtSource {
 public:
  // `jwts` outlives it.
  explicit ToldJwtSource(agent::MintedJwts& jwts) : jwts_(jwts) {}

  void Mint(sds::JwtSvidRequest request, Done done) override;

 private:
  agent::MintedJwts& jwts_;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_AGENT_PROCESS_TOLD_JWT_SOURCE_H_
