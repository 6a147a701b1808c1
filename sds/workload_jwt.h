// FetchJWTSVID and ValidateJWTSVID: one answer each, worked out off the loops.
#ifndef MESHCA_SDS_WORKLOAD_JWT_H_
#define MESHCA_SDS_WORKLOAD_JWT_H_

#include <memory>

#include "ca/authn/fair_pool.h"
#include "ca/rpc/call.h"
#include "sds/jwt_source.h"
#include "sds/secret_hub.h"

namespace meshca::sds {

// What the two calls work with. Everything outlives them.
struct WorkloadJwtParts {
  SecretHub* hub = nullptr;
  FairPool* pool = nullptr;     // signatures are made and verified there; each caller has places in it
  JwtSource* source = nullptr;  // null: no JWT-SVIDs are minted here
};

// Answers with a JWT-SVID for each identity that the caller has, or for the one that it names. Never blocks.
// Errors: InvalidArgument (CheckSecurityHeader's, ReadJwtSvidRequest's), those of CallerDirectory::Authenticate,
// PermissionDenied (the caller has no identity, or not the one that it names), ResourceExhausted (the pool's),
// Unavailable (nothing is minted here, or no key signs now).
void FetchJwtSvids(const WorkloadJwtParts& parts, std::shared_ptr<rpc::Call> call);

// Judges a token for the caller by the keys that are trusted now (ValidateJwtSvid), and answers who it speaks for and
// all of its claims. Never blocks.
// Errors: as above; Unavailable (the CA is starting). InvalidArgument: the token is not valid for this audience; the
// reason is ValidateJwtSvid's.
void ValidateJwtSvidFor(const WorkloadJwtParts& parts, std::shared_ptr<rpc::Call> call);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_WORKLOAD_JWT_H_
