// How an authority is found: by its id, by what a person types of it, by what signs now.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_LOOKUP_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_LOOKUP_H_

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/signing_authority.h"

namespace meshca {

// The one with this id; null for none.
const SigningAuthority* FindAuthority(std::span<const SigningAuthority> authorities, absl::string_view id);

// The root that what signs now chains to. Unavailable: nothing signs.
absl::StatusOr<SigningAuthority> ActiveRoot(const AuthoritySnapshot& snapshot);

// `text` as the beginning of an id: lower-case hex, at least 8 characters, the whole id at most. InvalidArgument says
// what is wrong with it.
absl::StatusOr<std::string> AuthorityIdPrefix(const std::string& text);

// AuthorityIdPrefix for an operator who means one issuing authority and all that it signed, whether it is among
// `authorities` or not. InvalidArgument also: the ids of several of them begin with `text`, and what the other one
// signed should not be lost; or `text` names a root, which signs no workload's certificate.
absl::StatusOr<std::string> IssuingIdPrefix(std::span<const SigningAuthority> authorities, const std::string& text);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_LOOKUP_H_
