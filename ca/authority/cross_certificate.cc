#include "ca/authority/cross_certificate.h"

#include <algorithm>
#include <utility>

namespace meshca {
namespace {

// The authority that signed last under `root`, or signs; null: none did.
const StoredAuthority* FindPredecessor(const AuthoritiesAndBundle& state, const StoredAuthority& root) {
  const StoredAuthority* newest = nullptr;
  for (const StoredAuthority& row : state.authorities) {
    if (row.role != AuthorityRole::kIssuing || row.root_id != root.id) continue;
    if (row.activated_at == absl::InfiniteFuture() || row.state == AuthorityState::kRetired) continue;
    if (newest == nullptr || newest->activated_at <= row.activated_at) newest = &row;
  }
  return newest;
}

bool Carries(const std::vector<std::string>& chain_der, const std::string& certificate) {
  return std::find(chain_der.begin(), chain_der.end(), certificate) != chain_der.end();
}

}  // namespace

bool IsCrossCertified(const StoredAuthority& root) { return root.chain_der.size() > 1; }

StoredAuthority WithoutCross(StoredAuthority row, const StoredAuthority& root) {
  if (row.id == root.id) {
    row.chain_der.resize(1);
    return row;
  }
  for (size_t i = 1; i < root.chain_der.size(); ++i) {
    if (row.chain_der.size() > 1) std::erase(row.chain_der, root.chain_der[i]);
  }
  return row;
}

std::vector<std::string> UpstreamOfSuccessor(const AuthoritiesAndBundle& state, const StoredAuthority& root) {
  if (!IsCrossCertified(root)) return {};
  const StoredAuthority* const before = FindPredecessor(state, root);
  if (before != nullptr && !Carries(before->chain_der, root.chain_der[1])) return {};
  return {root.chain_der.begin() + 1, root.chain_der.end()};
}

std::vector<Certificate> FindCross(const AuthoritySnapshot& snapshot) {
  if (snapshot.issuing == nullptr || !snapshot.rotation.has_value() || snapshot.rotation->Ended()) return {};
  for (const SigningAuthority& authority : snapshot.authorities) {
    if (authority.id == snapshot.issuing->root_id) return authority.upstream;
  }
  return {};
}

bool LeavesCarryCross(const AuthoritySnapshot& snapshot) {
  const std::vector<Certificate> cross = FindCross(snapshot);
  if (cross.empty()) return false;
  const std::vector<Certificate>& upstream = snapshot.issuing->upstream;
  return std::find(upstream.begin(), upstream.end(), cross.front()) != upstream.end();
}

}  // namespace meshca
