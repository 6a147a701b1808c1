#include "ca/authority/authority_change.h"

#include <algorithm>
#include <utility>

namespace meshca {

AuthorityChange StartChange(const AuthoritiesAndBundle& state, const TrustDomain& domain) {
  AuthorityChange change;
  change.expected_revision = state.revision;
  change.trust_domain = domain.name();
  return change;
}

AuditEntry MakeAudit(absl::string_view action, absl::string_view target, const ChangeReason& reason) {
  AuditEntry entry;
  entry.time = reason.now;
  entry.actor = reason.actor;
  entry.action = std::string(action);
  entry.target = std::string(target);
  entry.detail = reason.detail;
  return entry;
}

StoredAuthority WithState(StoredAuthority row, AuthorityState state, absl::Time now) {
  row.state = state;
  if (state == AuthorityState::kRetired) {
    row.retired_at = now;
    // What is retired never signs again: its key would only be something to steal.
    row.sealed_key.clear();
    row.key_reference.clear();
  }
  return row;
}

void Displace(const AuthoritiesAndBundle& state, const StoredAuthority& next, AuthorityState to, absl::Time now,
              AuthorityChange& change) {
  const StoredAuthority* present = FindActive(state, next.role);
  if (present == nullptr || present->id == next.id) return;
  change.authorities.push_back(WithState(*present, to, now));
}

void AddUnique(std::vector<std::string>& roots, const std::string& der) {
  if (std::find(roots.begin(), roots.end(), der) == roots.end()) roots.push_back(der);
}

void RemoveRoot(std::vector<std::string>& roots, const StoredAuthority& root) {
  std::erase_if(roots, [&root](const std::string& der) {
    if (der == root.chain_der.front()) return true;
    const absl::StatusOr<Certificate> certificate = Certificate::Parse(Der(der));
    return certificate.ok() && certificate->spki_sha256_hex() == root.id;
  });
}

bool MayBeTrusted(const AuthoritiesAndBundle& state, const Certificate& root) {
  const StoredAuthority* known = FindById(state, root.spki_sha256_hex());
  return known == nullptr || !(known->tainted || known->state == AuthorityState::kRetired);
}

void PublishRoots(const AuthoritiesAndBundle& state, std::vector<std::string> roots, absl::Time now,
                  AuthorityChange& change) {
  if (state.bundle.has_value() && state.bundle->roots_der == roots) return;
  StoredBundle bundle;
  bundle.sequence_number = state.bundle.has_value() ? state.bundle->sequence_number + 1 : 1;
  bundle.roots_der = std::move(roots);
  bundle.published_at = now;
  if (state.bundle.has_value()) bundle.jwt_keys_der = state.bundle->jwt_keys_der;
  change.bundle = std::move(bundle);
}

const StoredAuthority* FindActive(const AuthoritiesAndBundle& state, AuthorityRole role) {
  for (const StoredAuthority& row : state.authorities) {
    if (row.role == role && row.state == AuthorityState::kActive) return &row;
  }
  return nullptr;
}

const StoredAuthority* FindById(const AuthoritiesAndBundle& state, absl::string_view id) {
  for (const StoredAuthority& row : state.authorities) {
    if (row.id == id) return &row;
  }
  return nullptr;
}

AuthorityChange ChangeToRows(const AuthoritiesAndBundle& state, const TrustDomain& domain, AuthorityRows rows,
                             bool drop_old_roots, const ChangeReason& reason) {
  AuthorityChange change = StartChange(state, domain);
  const AuthorityState displaced = drop_old_roots ? AuthorityState::kRetired : AuthorityState::kOld;
  Displace(state, rows.issuing, displaced, reason.now, change);
  Displace(state, rows.root, displaced, reason.now, change);
  std::vector<std::string> roots = {rows.root.chain_der.front()};
  for (const std::string& der : rows.more_roots_der) AddUnique(roots, der);
  if (drop_old_roots) {
    for (const StoredAuthority& row : state.authorities) {
      bool displaced_already = row.state == AuthorityState::kActive || row.state == AuthorityState::kRetired;
      if (displaced_already || row.id == rows.root.id || row.id == rows.issuing.id) continue;
      // What lives under a root that comes back goes on.
      if (row.root_id == rows.root.id) continue;
      change.authorities.push_back(WithState(row, AuthorityState::kRetired, reason.now));
    }
  } else if (state.bundle.has_value()) {
    // Trust is added at once and never taken away here: that takes a rotation's evidence.
    for (const std::string& der : state.bundle->roots_der) AddUnique(roots, der);
  }
  PublishRoots(state, std::move(roots), reason.now, change);
  change.audit.push_back(MakeAudit("authority.activate", rows.issuing.id, reason));
  if (FindActive(state, AuthorityRole::kRoot) == nullptr ||
      FindActive(state, AuthorityRole::kRoot)->id != rows.root.id) {
    change.audit.push_back(MakeAudit("root.activate", rows.root.id, reason));
  }
  change.authorities.push_back(std::move(rows.root));
  change.authorities.push_back(std::move(rows.issuing));
  return change;
}

AuthorityChange ChangeIssuing(const AuthoritiesAndBundle& state, const TrustDomain& domain, StoredAuthority issuing,
                              const ChangeReason& reason) {
  AuthorityChange change = StartChange(state, domain);
  Displace(state, issuing, AuthorityState::kOld, reason.now, change);
  change.audit.push_back(MakeAudit("authority.activate", issuing.id, reason));
  change.authorities.push_back(std::move(issuing));
  return change;
}

AuthorityChange RetireAuthority(const AuthoritiesAndBundle& state, const TrustDomain& domain, absl::string_view id,
                                const ChangeReason& reason) {
  AuthorityChange change = StartChange(state, domain);
  const StoredAuthority* row = FindById(state, id);
  if (row != nullptr) change.authorities.push_back(WithState(*row, AuthorityState::kRetired, reason.now));
  change.audit.push_back(MakeAudit("authority.retire", id, reason));
  return change;
}

uint64_t SequenceAfterRestore(const AuthoritiesAndBundle& state, absl::Time now) {
  uint64_t stored = state.bundle.has_value() ? state.bundle->sequence_number : 0;
  return std::max(stored + (uint64_t{1} << 32), static_cast<uint64_t>(std::max<int64_t>(0, absl::ToUnixSeconds(now))));
}

}  // namespace meshca
