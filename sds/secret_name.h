// What the names in an SDS request stand for, and who may have them.
#ifndef MESHCA_SDS_SECRET_NAME_H_
#define MESHCA_SDS_SECRET_NAME_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/identity/entry_advice.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"
#include "sds/caller.h"

namespace meshca::sds {

inline constexpr absl::string_view kDefaultName = "default";
inline constexpr absl::string_view kRootCaName = "ROOTCA";
inline constexpr absl::string_view kAllName = "ALL";

enum class SecretKind {
  kIdentity,    // `default`, spiffe://td/path: a key and its chain
  kBundle,      // `ROOTCA`, spiffe://td: the roots of one trust domain
  kAllBundles,  // `ALL`: Envoy's SPIFFE validator with every trust domain there is
};

// A name that its caller may have.
struct ResolvedName {
  std::string name;  // as the client wrote it; the resource is sent under this name
  SecretKind kind = SecretKind::kBundle;
  SpiffeId id;  // for kIdentity
};

// Decides what `name` stands for when `caller` asks; `own` is the CA's trust domain, `advice` of the host whose socket
// it is. Pure. Errors: PermissionDenied, with the name in the message. Reasons: ENTRY_MISSING (`default` for a caller
// without an identity of its own; on a Unix socket the message has the command that makes an entry),
// SPIFFE_ID_NOT_ALLOWED, TRUST_DOMAIN_UNKNOWN, SECRET_UNKNOWN (no such name; the message lists the names there are).
absl::StatusOr<ResolvedName> ResolveName(absl::string_view name, const SdsCaller& caller, const TrustDomain& own,
                                         const EntryAdvice& advice);

// Callers are authenticated before their names are looked at, so a refusal for want of an entry (EntryMissing) does not
// know which identity is wanted. Returns that refusal with the first identity among `names` in the command that it
// suggests, and any other refusal unchanged.
absl::Status NameFirstId(const absl::Status& refusal, const std::vector<std::string>& names, const TrustDomain& own);

// `name` for use in a message: in quotes, escaped, cut to 100 bytes.
std::string QuoteName(absl::string_view name);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SECRET_NAME_H_
