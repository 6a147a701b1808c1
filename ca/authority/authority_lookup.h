// Finds an authority by its id, by the beginning of an id that a person typed, or because it signs now.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_LOOKUP_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_LOOKUP_H_

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/signing_authority.h"

namespace meshca {

// The authority with this id, a pointer into `authorities`; null: there is none.
const SigningAuthority* FindAuthority(std::span<const SigningAuthority> authorities, absl::string_view id);

// The root that the signing issuing authority chains to. Unavailable: nothing signs now.
absl::StatusOr<SigningAuthority> ActiveRoot(const AuthoritySnapshot& snapshot);

// Checks that `text` can be the beginning of an id (8 to 64 hexadecimal characters) and returns it in lower case.
// InvalidArgument says what is wrong with it.
absl::StatusOr<std::string> AuthorityIdPrefix(const std::string& text);

// The same for an operator who names one issuing authority, to act on all certificates that it signed. It may be an
// authority that is not among `authorities`. InvalidArgument also: several of `authorities` have ids that begin with
// `text` (the certificates of the wrong one must not be hit); or `text` names a root, which signs no leaf.
absl::StatusOr<std::string> IssuingIdPrefix(std::span<const SigningAuthority> authorities, const std::string& text);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_LOOKUP_H_
