// JWT-SVIDs for the workloads of this host, signed by this process's own key.
#ifndef MESHCA_CLI_SERVER_MINTER_JWT_SOURCE_H_
#define MESHCA_CLI_SERVER_MINTER_JWT_SOURCE_H_

#include "ca/base/judged_clock.h"
#include "ca/issuance/jwt_minter.h"
#include "sds/jwt_source.h"

namespace meshca::cli {

// Thread-safe.
class MinterJwtSource final : public sds::JwtSource {
 public:
  // Both outlive it.
  MinterJwtSource(JwtMinter& minter, const JudgedClock& clock) : minter_(minter), clock_(clock) {}

  void Mint(sds::JwtSvidRequest request, Done done) override;

 private:
  JwtMinter& minter_;
  const JudgedClock& clock_;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_MINTER_JWT_SOURCE_H_
