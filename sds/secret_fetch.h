// FetchSecrets: one answer, no subscription.
#ifndef MESHCA_SDS_SECRET_FETCH_H_
#define MESHCA_SDS_SECRET_FETCH_H_

#include <memory>

#include "ca/rpc/call.h"
#include "sds/secret_hub.h"

namespace meshca::sds {

// Answers `call` once every secret that it names, and that its caller may have, is ready. The client does not
// acknowledge the answer, so the caller is remembered as a subscriber that holds what it was sent last: a rotation
// waits for it until it fetches again, its process or its certificate ends, or it is evicted. Never blocks. `hub`
// outlives the call. Errors: InvalidArgument (no names, and ReadStateRequest's), the errors of
// CallerDirectory::Authenticate, PermissionDenied (none of the names can be had), ResourceExhausted
// (SubscriberRegistry::BeginFetch, before any key is made), Unavailable (a key could not be issued).
void FetchSecrets(SecretHub& hub, std::shared_ptr<rpc::Call> call);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SECRET_FETCH_H_
