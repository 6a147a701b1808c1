#include "ca/authority/authority_standing.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authority/authority_lookup.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

absl::Status Refused(const VerifiedPeer& peer, absl::string_view why) {
  return WithReason(absl::UnauthenticatedError(absl::StrCat("certificate ", peer.leaf.serial_hex(), ": ", why)),
                    "CERTIFICATE_ISSUER_UNKNOWN");
}

bool IsTrustedRoot(const AuthoritySnapshot& snapshot, const std::string& root_id) {
  return snapshot.bundle != nullptr &&
         std::any_of(snapshot.bundle->roots.begin(), snapshot.bundle->roots.end(),
                     [&root_id](const Certificate& root) { return root.spki_sha256_hex() == root_id; });
}

// The authority or the root it belongs to. On a verified path the root is judged as well, whatever a row says.
bool IsTainted(const AuthoritySnapshot& snapshot, const SigningAuthority& authority) {
  if (authority.tainted) return true;
  const SigningAuthority* const root = FindAuthority(snapshot.authorities, authority.root_id);
  return root != nullptr && root->tainted;
}

}  // namespace

absl::StatusOr<PathStanding::Verdict> AuthorityStanding::JudgePath(const VerifiedPeer& peer, absl::Time now) const {
  const std::shared_ptr<const AuthoritySnapshot> snapshot = authorities_.Current();
  if (snapshot == nullptr) return Refused(peer, "the CA has not started");
  return JudgePath(*snapshot, peer, now);
}

absl::StatusOr<PathStanding::Verdict> AuthorityStanding::JudgePath(const AuthoritySnapshot& snapshot,
                                                                   const VerifiedPeer& peer, absl::Time now) {
  // Who built a VerifiedPeer without a path forgot to verify one.
  if (peer.authority_ids.empty()) return Refused(peer, "no path to a root was verified");
  if (!IsTrustedRoot(snapshot, peer.authority_ids.back())) {
    return Refused(peer, "its root is not trusted any more; connect again, or join again with a token");
  }
  // A certificate lives to the end of its last second.
  if (now >= peer.path_ends + absl::Seconds(1)) return Refused(peer, "an authority above it has ended");
  bool tainted = false;
  for (const std::string& id : peer.authority_ids) {
    const SigningAuthority* const authority = FindAuthority(snapshot.authorities, id);
    if (authority == nullptr) continue;
    if (authority->state == AuthorityState::kRetired) {
      return Refused(peer, absl::StrCat("authority ", id.substr(0, 12), " is retired; join again with a token"));
    }
    tainted |= IsTainted(snapshot, *authority);
  }
  Verdict verdict;
  if (!tainted && snapshot.unrecorded.has_value() && now < snapshot.unrecorded->until) {
    const std::vector<std::string>& listed = snapshot.unrecorded->authority_ids;
    // The leaf's own issuer: what another authority below a listed one signed was not signed before.
    verdict.may_be_unrecorded = std::find(listed.begin(), listed.end(), peer.authority_ids.front()) != listed.end();
  }
  return verdict;
}

}  // namespace meshca
