#include "sds/key_sharing.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace meshca::sds {

bool SharesKeys(const SdsCaller& caller) { return caller.peer->transport == rpc::Transport::kUnix; }

std::string SharedKeyName(const SdsCaller& caller, absl::string_view instance, const SpiffeId& id) {
  // A SPIFFE ID, an instance, an origin and a DNS name have no line break in them.
  if (!SharesKeys(caller)) return absl::StrCat(id.uri(), "\n", instance);
  const CallerIdentity& identity = caller.identity;
  std::vector<absl::string_view> names(identity.dns_names.begin(), identity.dns_names.end());
  for (const IdentityRights& rights : identity.rights) {
    if (rights.id == id) names.insert(names.end(), rights.dns_names.begin(), rights.dns_names.end());
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::string text =
      absl::StrCat(id.uri(), "\n\n", AuthMethodName(identity.method), "\n", OriginText(identity.OriginOf(id)), "\n",
                   ToInt64Seconds(identity.LifetimeMax(id)), "\n", absl::ToUnixMicros(identity.proof_expires));
  for (const absl::string_view name : names) absl::StrAppend(&text, "\n", name);
  return text;
}

}  // namespace meshca::sds
