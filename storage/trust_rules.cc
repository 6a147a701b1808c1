#include "storage/trust_rules.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "storage/audit_log.h"
#include "storage/setting_rules.h"
#include "storage/trust_macs.h"

namespace meshca::storage {
namespace {

bool Contains(const std::vector<std::string>& ids, const std::string& id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

absl::Status CheckBundleGrows(TrustTable& trust, const StoredBundle& bundle) {
  MESHCA_ASSIGN_OR_RETURN(const uint64_t highest, trust.HighestBundleNumber());
  if (bundle.sequence_number > highest && bundle.sequence_number <= std::numeric_limits<int64_t>::max()) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("trust bundle: sequence number ", bundle.sequence_number, " is not above ", highest));
}

absl::StatusOr<std::optional<StoredBundle>> LoadNewestBundle(TrustTable& trust, const KeyEncryption& keys) {
  MESHCA_ASSIGN_OR_RETURN(auto row, trust.FindNewestBundle());
  if (!row.has_value()) return std::nullopt;
  MESHCA_ASSIGN_OR_RETURN(StoredBundle bundle, Verified(*std::move(row), keys));
  MESHCA_ASSIGN_OR_RETURN(auto jwt_row, trust.FindBundleJwtKeys(bundle.sequence_number));
  if (jwt_row.has_value()) {
    MESHCA_ASSIGN_OR_RETURN(BundleJwtKeys jwt_keys, Verified(*std::move(jwt_row), keys));
    bundle.jwt_keys_der = std::move(jwt_keys.keys_der);
  }
  return bundle;
}

absl::Status WriteBundle(TrustTable& trust, const KeyEncryption& keys, const StoredBundle& bundle) {
  MESHCA_RETURN_IF_ERROR(CheckBundleGrows(trust, bundle));
  MESHCA_RETURN_IF_ERROR(trust.InsertBundle(bundle, MacOf(bundle, keys)));
  if (bundle.jwt_keys_der.empty()) return absl::OkStatus();
  const BundleJwtKeys jwt_keys = {bundle.sequence_number, bundle.jwt_keys_der};
  return trust.InsertBundleJwtKeys(jwt_keys, MacOf(jwt_keys, keys));
}

absl::Status ForgetAuthority(Tables& tables, const std::string& id) {
  MESHCA_ASSIGN_OR_RETURN(const uint64_t signed_by_it, tables.issuances.CountSignedBy(id));
  if (signed_by_it != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("authorities: ", id, " has signed certificates that are on record: it is retired, not forgotten"));
  }
  return tables.trust.DeleteAuthority(id);
}

absl::Status CheckRotationPlace(TrustTable& trust, const RootRotation& rotation) {
  if (rotation.number == 0) return absl::InvalidArgumentError("rotation: the first number is 1");
  MESHCA_ASSIGN_OR_RETURN(const uint64_t running, trust.FindRunningRotationBeside(rotation.number));
  if (running != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("rotation ", rotation.number, ": rotation ", running, " has not ended (meshca root status)"));
  }
  MESHCA_ASSIGN_OR_RETURN(const uint64_t highest, trust.HighestRotationNumber());
  if (rotation.number > highest) return absl::OkStatus();
  MESHCA_ASSIGN_OR_RETURN(const bool known, trust.HasRotation(rotation.number));
  if (known) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("rotation ", rotation.number, ": its number is not above ", highest));
}

absl::Status CheckChange(const TrustHead& head, const AuthorityChange& change) {
  if (head.revision != change.expected_revision) {
    return absl::AbortedError(absl::StrCat("authorities: judged on revision ", change.expected_revision,
                                           ", the store is at ", head.revision));
  }
  if (!head.trust_domain.empty() && head.trust_domain != change.trust_domain) {
    return absl::FailedPreconditionError(absl::StrCat("authorities: this store belongs to trust domain ",
                                                      head.trust_domain, ", not ", change.trust_domain,
                                                      ": give another trust domain its own --state-dir"));
  }
  return absl::OkStatus();
}

// How many of the live certificates that count have the SPIFFE ID which is left out. Reads the whole table.
absl::StatusOr<uint64_t> CountOwnLive(IssuanceTable& issuances, const LiveLeafLimit& limit) {
  if (limit.own_spiffe_id.empty()) return 0;
  IssuanceFilter filter;
  filter.spiffe_id_glob = limit.own_spiffe_id;
  // A certificate lives to the end of its last second, as CountLive counts it.
  filter.expires_after = absl::FromUnixSeconds(absl::ToUnixSeconds(limit.now));
  uint64_t own = 0;
  MESHCA_RETURN_IF_ERROR(issuances.Visit(filter, [&](const IssuanceRecord& record) {
    if (record.spiffe_id.uri() == limit.own_spiffe_id && !Contains(limit.not_counted, record.authority_id)) ++own;
    return true;
  }));
  return own;
}

absl::Status CheckLiveLeaves(IssuanceTable& issuances, const LiveLeafLimit& limit) {
  MESHCA_ASSIGN_OR_RETURN(const auto live, issuances.CountLive(limit.now));
  uint64_t counted = 0;
  for (const auto& [authority, count] : live) {
    if (!Contains(limit.not_counted, authority)) counted += count;
  }
  if (counted == 0) return absl::OkStatus();
  MESHCA_ASSIGN_OR_RETURN(const uint64_t own, CountOwnLive(issuances, limit));
  if (counted <= own) return absl::OkStatus();
  counted -= own;
  return WithReason(absl::FailedPreconditionError(absl::StrCat(
                        "authorities: ", counted, " certificates that depend on what is to be left are alive")),
                    kLeavesLive);
}

absl::Status WriteRotations(Tables& tables, const KeyEncryption& keys, const AuthorityChange& change) {
  // The forgotten one goes first: the new one may have its number, and must not find it running.
  if (change.forgotten_rotation != 0) {
    MESHCA_RETURN_IF_ERROR(tables.trust.DeleteRotation(change.forgotten_rotation));
  }
  if (!change.rotation) return absl::OkStatus();
  MESHCA_RETURN_IF_ERROR(CheckRotationPlace(tables.trust, *change.rotation));
  return tables.trust.PutRotation(*change.rotation, MacOf(*change.rotation, keys));
}

}  // namespace

absl::StatusOr<AuthoritiesAndBundle> LoadTrust(Tables& tables, const KeyEncryption& keys) {
  AuthoritiesAndBundle loaded;
  MESHCA_ASSIGN_OR_RETURN(TrustHead head, tables.trust.ReadHead());
  loaded.trust_domain = std::move(head.trust_domain);
  loaded.revision = head.revision;
  MESHCA_RETURN_IF_ERROR(tables.trust.VisitAuthorities([&](WithMac<StoredAuthority> row) -> absl::Status {
    MESHCA_ASSIGN_OR_RETURN(StoredAuthority authority, Verified(std::move(row), keys));
    loaded.authorities.push_back(std::move(authority));
    return absl::OkStatus();
  }));
  MESHCA_RETURN_IF_ERROR(tables.trust.VisitJwtAuthorities([&](WithMac<StoredJwtAuthority> row) -> absl::Status {
    MESHCA_ASSIGN_OR_RETURN(StoredJwtAuthority authority, Verified(std::move(row), keys));
    loaded.jwt_authorities.push_back(std::move(authority));
    return absl::OkStatus();
  }));
  MESHCA_ASSIGN_OR_RETURN(loaded.bundle, LoadNewestBundle(tables.trust, keys));
  MESHCA_ASSIGN_OR_RETURN(auto rotation, tables.trust.FindNewestRotation());
  if (rotation.has_value()) {
    MESHCA_ASSIGN_OR_RETURN(loaded.rotation, Verified(*std::move(rotation), keys));
  }
  return loaded;
}

absl::StatusOr<uint64_t> ApplyAuthorityChange(Tables& tables, const KeyEncryption& keys,
                                              const AuthorityChange& change) {
  if (change.audit.empty()) return absl::InvalidArgumentError("authorities: a change of trust needs an audit entry");
  MESHCA_ASSIGN_OR_RETURN(const TrustHead head, tables.trust.ReadHead());
  MESHCA_RETURN_IF_ERROR(CheckChange(head, change));
  if (change.live_leaf_limit) MESHCA_RETURN_IF_ERROR(CheckLiveLeaves(tables.issuances, *change.live_leaf_limit));
  if (change.bundle) MESHCA_RETURN_IF_ERROR(WriteBundle(tables.trust, keys, *change.bundle));
  for (const std::string& id : change.forgotten_authorities) MESHCA_RETURN_IF_ERROR(ForgetAuthority(tables, id));
  for (const StoredAuthority& authority : change.authorities) {
    MESHCA_RETURN_IF_ERROR(tables.trust.PutAuthority(authority, MacOf(authority, keys)));
  }
  for (const StoredJwtAuthority& authority : change.jwt_authorities) {
    MESHCA_RETURN_IF_ERROR(tables.trust.PutJwtAuthority(authority, MacOf(authority, keys)));
  }
  MESHCA_RETURN_IF_ERROR(WriteRotations(tables, keys, change));
  for (const auto& [name, value] : change.sealed_settings) {
    MESHCA_RETURN_IF_ERROR(PutSealedSetting(tables, keys, name, value));
  }
  for (const AuditEntry& entry : change.audit) MESHCA_RETURN_IF_ERROR(AppendAudit(tables, entry));
  MESHCA_RETURN_IF_ERROR(tables.trust.WriteHead({change.trust_domain, head.revision + 1}));
  return head.revision + 1;
}

absl::Status VerifyBundles(Tables& tables, const KeyEncryption& keys) {
  MESHCA_RETURN_IF_ERROR(
      tables.trust.VisitBundles([&](WithMac<StoredBundle> row) { return Verified(std::move(row), keys).status(); }));
  return tables.trust.VisitBundleJwtKeys(
      [&](WithMac<BundleJwtKeys> row) { return Verified(std::move(row), keys).status(); });
}

absl::Status VerifyRotations(Tables& tables, const KeyEncryption& keys) {
  return tables.trust.VisitRotations(
      [&](WithMac<RootRotation> row) { return Verified(std::move(row), keys).status(); });
}

}  // namespace meshca::storage
