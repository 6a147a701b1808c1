#include "storage/trust_macs.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "storage/canonical_bytes.h"
#include "storage/row_mac.h"

namespace meshca::storage {

// Each list below is what stored MACs were made from. A new column of a row has a MAC column of its own, or is added to
// the list of those rows alone that say something in it (storage/README.md, "How to extend").

std::string MacOf(const StoredAuthority& authority, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(authority.id).Add(static_cast<uint64_t>(authority.role)).Add(static_cast<uint64_t>(authority.state));
  row.Add(static_cast<uint64_t>(authority.tainted)).Add(authority.root_id).AddAll(authority.chain_der);
  row.Add(authority.key_reference).Add(authority.sealed_key);
  row.Add(authority.created_at).Add(authority.activated_at).Add(authority.retired_at);
  // Rows of before do not say it. None that does can be made one of them: it would need the MAC that such a row had.
  if (authority.exported) row.Add(static_cast<uint64_t>(authority.exported));
  return RowMac(keys, "authority", row);
}

std::string MacOf(const StoredJwtAuthority& authority, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(authority.key_id).Add(static_cast<uint64_t>(authority.state)).Add(static_cast<uint64_t>(authority.tainted));
  row.Add(authority.public_key_der).Add(authority.key_reference).Add(authority.sealed_key);
  row.Add(authority.published_sequence).Add(authority.created_at).Add(authority.activated_at);
  row.Add(authority.replaced_at).Add(authority.retired_at);
  return RowMac(keys, "jwt_authority", row);
}

std::string MacOf(const BundleJwtKeys& bundle_keys, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(bundle_keys.sequence_number).AddAll(bundle_keys.keys_der);
  return RowMac(keys, "bundle_jwt_keys", row);
}

std::string MacOf(const StoredBundle& bundle, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(bundle.sequence_number).AddAll(bundle.roots_der).Add(bundle.published_at);
  return RowMac(keys, "bundle", row);
}

std::string MacOf(const RootRotation& rotation, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(rotation.number).Add(static_cast<uint64_t>(rotation.step));
  row.Add(rotation.old_root_id).Add(rotation.new_root_id);
  row.Add(static_cast<uint64_t>(rotation.automatic)).Add(static_cast<uint64_t>(rotation.emergency));
  row.Add(static_cast<uint64_t>(rotation.rolled_back)).Add(static_cast<uint64_t>(rotation.external_confirmed));
  row.Add(rotation.deadline).Add(rotation.actor).Add(rotation.started_at).Add(rotation.step_at);
  row.Add(rotation.bundle_sequence).Add(rotation.published_at).Add(rotation.retire_sequence).Add(rotation.forced);
  return RowMac(keys, "rotation", row);
}

std::string MacOf(const SettingRow& setting, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(setting.name).Add(setting.value);
  return RowMac(keys, "setting", row);
}

std::string MacOf(const NodeRecord& node, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(node.node).Add(node.joined_at).Add(node.token_id).Add(node.line_serial);
  row.Add(node.certificate_serial).Add(node.certificate_expires).Add(node.key_sha256);
  row.Add(node.banned_at).Add(node.banned_by).Add(node.ban_reason);
  // Rows of before have no number. None of today can be made one of them: it would need the MAC that such a row had.
  if (node.joined_number != 0) row.Add(static_cast<uint64_t>(node.joined_number));
  return RowMac(keys, "node", row);
}

namespace {

std::string FirstMac(const JoinToken& token, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(token.id).Add(token.secret_sha256).Add(token.spiffe_id.uri()).Add(token.node);
  row.Add(token.created_at).Add(token.expires_at).Add(token.created_by);
  row.Add(token.used_key_sha256).Add(token.used_at);
  return RowMac(keys, "token", row);
}

std::string AddedMac(const JoinToken& token, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(token.id).Add(static_cast<uint64_t>(token.replace));
  return RowMac(keys, "token, added", row);
}

bool HasAdded(const RegistrationEntry& entry) {
  return entry.ServedByAgents() || !entry.hint.empty() || entry.jwt_ttl != absl::ZeroDuration();
}

std::string FirstMac(const RegistrationEntry& entry, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(entry.id).Add(entry.spiffe_id.uri()).AddAll(entry.selectors);
  row.Add(static_cast<uint64_t>(absl::ToInt64Microseconds(entry.ttl))).AddAll(entry.dns_names);
  row.Add(entry.created_at).Add(entry.created_by);
  // A row of another kind where the added columns say something: without them, and without their MAC, an entry for the
  // agents of some nodes would pass for one of the CA's own socket.
  return RowMac(keys, HasAdded(entry) ? "entry with added columns" : "entry", row);
}

std::string AddedMac(const RegistrationEntry& entry, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(entry.id).AddAll(entry.nodes).Add(entry.hint);
  row.Add(static_cast<uint64_t>(absl::ToInt64Microseconds(entry.jwt_ttl)));
  return RowMac(keys, "entry, added", row);
}

// A row that is older than the added columns has no MAC of theirs, and their defaults.
absl::Status CheckAddedMac(absl::string_view table, absl::string_view name, absl::string_view stored,
                           absl::string_view current, bool has_defaults) {
  return stored.empty() && has_defaults ? absl::OkStatus() : CheckRowMac(table, name, stored, current);
}

}  // namespace

RowMacs MacsOf(const JoinToken& token, const KeyEncryption& keys) {
  return {FirstMac(token, keys), AddedMac(token, keys)};
}

RowMacs MacsOf(const RegistrationEntry& entry, const KeyEncryption& keys) {
  return {FirstMac(entry, keys), AddedMac(entry, keys)};
}

absl::StatusOr<StoredAuthority> Verified(WithMac<StoredAuthority> row, const KeyEncryption& keys) {
  MESHCA_RETURN_IF_ERROR(CheckRowMac("authority", row.value.id, row.mac, MacOf(row.value, keys)));
  return std::move(row.value);
}

absl::StatusOr<StoredJwtAuthority> Verified(WithMac<StoredJwtAuthority> row, const KeyEncryption& keys) {
  MESHCA_RETURN_IF_ERROR(CheckRowMac("jwt_authority", row.value.key_id, row.mac, MacOf(row.value, keys)));
  return std::move(row.value);
}

absl::StatusOr<BundleJwtKeys> Verified(WithMac<BundleJwtKeys> row, const KeyEncryption& keys) {
  const std::string name = absl::StrCat(row.value.sequence_number);
  MESHCA_RETURN_IF_ERROR(CheckRowMac("bundle_jwt_keys", name, row.mac, MacOf(row.value, keys)));
  return std::move(row.value);
}

absl::StatusOr<StoredBundle> Verified(WithMac<StoredBundle> row, const KeyEncryption& keys) {
  const std::string name = absl::StrCat(row.value.sequence_number);
  MESHCA_RETURN_IF_ERROR(CheckRowMac("bundle", name, row.mac, MacOf(row.value, keys)));
  return std::move(row.value);
}

absl::StatusOr<RootRotation> Verified(WithMac<RootRotation> row, const KeyEncryption& keys) {
  const std::string name = absl::StrCat(row.value.number);
  MESHCA_RETURN_IF_ERROR(CheckRowMac("rotation", name, row.mac, MacOf(row.value, keys)));
  return std::move(row.value);
}

absl::StatusOr<SettingRow> Verified(WithMac<SettingRow> row, const KeyEncryption& keys) {
  MESHCA_RETURN_IF_ERROR(CheckRowMac("setting", row.value.name, row.mac, MacOf(row.value, keys)));
  return std::move(row.value);
}

absl::StatusOr<NodeRecord> Verified(WithMac<NodeRecord> row, const KeyEncryption& keys) {
  MESHCA_RETURN_IF_ERROR(CheckRowMac("node", row.value.node, row.mac, MacOf(row.value, keys)));
  return std::move(row.value);
}

absl::StatusOr<JoinToken> Verified(WithMac<JoinToken> row, const KeyEncryption& keys) {
  const JoinToken& token = row.value;
  MESHCA_RETURN_IF_ERROR(CheckRowMac("token", token.id, row.mac, FirstMac(token, keys)));
  MESHCA_RETURN_IF_ERROR(CheckAddedMac("token", token.id, row.added_mac, AddedMac(token, keys), !token.replace));
  return std::move(row.value);
}

absl::StatusOr<RegistrationEntry> Verified(WithMac<RegistrationEntry> row, const KeyEncryption& keys) {
  const RegistrationEntry& entry = row.value;
  MESHCA_RETURN_IF_ERROR(CheckRowMac("entry", entry.id, row.mac, FirstMac(entry, keys)));
  MESHCA_RETURN_IF_ERROR(CheckAddedMac("entry", entry.id, row.added_mac, AddedMac(entry, keys), !HasAdded(entry)));
  return std::move(row.value);
}

}  // namespace meshca::storage
