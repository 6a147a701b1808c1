// Which callers share one key: a pure rule.
#ifndef MESHCA_SDS_KEY_SHARING_H_
#define MESHCA_SDS_KEY_SHARING_H_

#include <string>

#include "absl/strings/string_view.h"
#include "ca/spiffe/spiffe_id.h"
#include "sds/caller.h"

namespace meshca::sds {

// Whether `caller` takes the key of an identity together with other callers. On a Unix socket it does: what holds a key
// there is this machine's processes, and a certificate each would tell nobody more. Over mTLS each instance has a key
// of its own.
bool SharesKeys(const SdsCaller& caller);

// Names the key of `id` that `caller` may have: callers for whom this returns the same text share one key. On a Unix
// socket the text is made of the identity and of all that a certificate for it depends on: how the caller is known,
// what gives it the identity, the DNS names and the longest lifetime. So nobody gets a DNS name by another's entry.
// Over mTLS it is made of the identity and the `instance`.
std::string SharedKeyName(const SdsCaller& caller, absl::string_view instance, const SpiffeId& id);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_KEY_SHARING_H_
