#include "ca/authority/authority_lookup.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr size_t kIdPrefixMin = 8;
constexpr size_t kIdSize = 64;  // SHA-256 in hex

}  // namespace

const SigningAuthority* FindAuthority(std::span<const SigningAuthority> authorities, absl::string_view id) {
  const auto found = std::find_if(authorities.begin(), authorities.end(),
                                  [id](const SigningAuthority& authority) { return authority.id == id; });
  return found == authorities.end() ? nullptr : &*found;
}

absl::StatusOr<SigningAuthority> ActiveRoot(const AuthoritySnapshot& snapshot) {
  if (snapshot.issuing == nullptr) {
    return absl::UnavailableError("no issuing authority is active; `meshca check` says why");
  }
  for (const SigningAuthority& authority : snapshot.authorities) {
    if (authority.id == snapshot.issuing->root_id) return authority;
  }
  // A plugged-in root whose key was never ours is known by the bundle alone.
  if (snapshot.bundle != nullptr) {
    for (const Certificate& root : snapshot.bundle->roots) {
      if (root.spki_sha256_hex() != snapshot.issuing->root_id) continue;
      SigningAuthority authority;
      authority.id = authority.root_id = snapshot.issuing->root_id;
      authority.role = AuthorityRole::kRoot;
      authority.state = AuthorityState::kActive;
      authority.certificate = root;
      return authority;
    }
  }
  return absl::InternalError(absl::StrCat("root ", snapshot.issuing->root_id, " of the issuing authority is unknown"));
}

absl::StatusOr<std::string> AuthorityIdPrefix(const std::string& text) {
  if (text.size() < kIdPrefixMin) {
    return absl::InvalidArgumentError(absl::StrCat("id \"", text, "\" has ", text.size(), " characters; give at least ",
                                                   kIdPrefixMin, " of those that `meshca root show` prints"));
  }
  for (const char c : text) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) {
      return absl::InvalidArgumentError(
          absl::StrCat("id \"", text, "\" is not hexadecimal; `meshca root show --all` prints the ids"));
    }
  }
  if (text.size() > kIdSize) {
    return absl::InvalidArgumentError(absl::StrCat("id has ", text.size(), " characters; an id has ", kIdSize));
  }
  return absl::AsciiStrToLower(text);
}

absl::StatusOr<std::string> IssuingIdPrefix(std::span<const SigningAuthority> authorities, const std::string& text) {
  MESHCA_ASSIGN_OR_RETURN(std::string prefix, AuthorityIdPrefix(text));
  const SigningAuthority* found = nullptr;
  for (const SigningAuthority& authority : authorities) {
    if (!absl::StartsWith(authority.id, prefix)) continue;
    if (found != nullptr && found->id != authority.id) {
      return absl::InvalidArgumentError(
          absl::StrCat("the ids of several authorities begin with ", prefix, "; `meshca cert tree` shows them whole"));
    }
    found = &authority;
  }
  if (found != nullptr && found->role == AuthorityRole::kRoot) {
    return absl::InvalidArgumentError(absl::StrCat("authority ", found->id,
                                                   " is a root, which signs no workload's certificate; `meshca cert "
                                                   "tree` shows the issuing authorities under it"));
  }
  return prefix;
}

}  // namespace meshca
