// What the names in an SDS request stand for, and who may have them.
#ifndef MESHCA_SDS_SECRET_NAME_H_
#define MESHCA_SDS_SECRET_NAME_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
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
  std::string name;  // as asked for: the resource carries it
  SecretKind kind = SecretKind::kBundle;
  SpiffeId id;               // kIdentity
  TrustDomain trust_domain;  // kBundle
};

// Decides what `name` is for `caller`. Pure.
// PermissionDenied with the name in the message; reasons: ENTRY_MISSING (`default` for a caller without an identity of
// its own: says which command makes an entry), SPIFFE_ID_NOT_ALLOWED, TRUST_DOMAIN_UNKNOWN, SECRET_UNKNOWN (no such
// name; lists those there are).
absl::StatusOr<ResolvedName> ResolveName(absl::string_view name, const SdsCaller& caller, const TrustDomain& own);

// A refusal of the caller itself (EntryMissing) with the first identity among `names` in the command it names: the
// caller is judged before its names are read. Any other refusal as it is.
absl::Status NameFirstId(const absl::Status& refusal, const std::vector<std::string>& names, const TrustDomain& own);

// A name as messages quote it: escaped, cut to 100 bytes.
std::string QuoteName(absl::string_view name);

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SECRET_NAME_H_
