// What gave somebody the right to an identity.
#ifndef MESHCA_CA_IDENTITY_ORIGIN_H_
#define MESHCA_CA_IDENTITY_ORIGIN_H_

#include <string>

#include "absl/strings/string_view.h"

namespace meshca {

// The numbers are stored with every issuance: never reuse one.
enum class OriginKind {
  kUnknown = 0,    // a record of a version that kept no origin
  kEntry = 1,      // a registration entry: `reference` is its id
  kJoinToken = 2,  // a join token: its public id
  kJwtIssuer = 3,  // a token of a JWT issuer: the issuer's URL
  kOperator = 4,   // somebody with the admin socket: "uid 0"
  kPublished = 5,  // meshca itself, for what it serves or publishes: "meshca"
  kPod = 6,        // a Kubernetes pod, or the token of a service account: PodOrigin
};

// "unknown", "entry", "join-token", "jwt-issuer", "operator", "published", "pod": for records, logs and people.
absl::string_view OriginKindName(OriginKind kind);

// Where the right to an identity comes from. A certificate's renewals have the origin of the first one, and each of
// them judges it anew: what gave the right must still be there. A value.
struct Origin {
  OriginKind kind = OriginKind::kUnknown;
  std::string reference;

  friend bool operator==(const Origin&, const Origin&) = default;
};

// "entry 5f0c...", "jwt-issuer https://issuer.test", "unknown": for people.
std::string OriginText(const Origin& origin);

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_ORIGIN_H_
