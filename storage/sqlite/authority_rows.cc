#include "storage/sqlite/authority_rows.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "storage/canonical_bytes.h"
#include "storage/sqlite/audit_rows.h"
#include "storage/sqlite/rotation_rows.h"
#include "storage/sqlite/row_mac.h"

namespace meshca::storage {
namespace {

std::string Pack(const std::vector<std::string>& strings) { return CanonicalBytes().AddAll(strings).bytes(); }

std::string MacOf(const StoredAuthority& authority, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(authority.id).Add(static_cast<uint64_t>(authority.role)).Add(static_cast<uint64_t>(authority.state));
  row.Add(static_cast<uint64_t>(authority.tainted)).Add(authority.root_id).AddAll(authority.chain_der);
  row.Add(authority.key_reference).Add(authority.sealed_key);
  row.Add(authority.created_at).Add(authority.activated_at).Add(authority.retired_at);
  return RowMac(keys, "authority", row);
}

std::string MacOf(const StoredBundle& bundle, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(bundle.sequence_number).AddAll(bundle.roots_der).Add(bundle.published_at);
  return RowMac(keys, "bundle", row);
}

std::string MacOfSetting(absl::string_view name, absl::string_view value, const KeyEncryption& keys) {
  CanonicalBytes row;
  row.Add(name).Add(value);
  return RowMac(keys, "setting", row);
}

absl::StatusOr<StoredAuthority> ReadAuthority(Query& row, const KeyEncryption& keys) {
  StoredAuthority authority;
  authority.id = row.String();
  authority.role = static_cast<AuthorityRole>(row.Int());
  authority.state = static_cast<AuthorityState>(row.Int());
  authority.tainted = row.Int() != 0;
  authority.root_id = row.String();
  MESHCA_ASSIGN_OR_RETURN(authority.chain_der, UnpackStrings(row.Bytes()));
  authority.key_reference = row.String();
  authority.sealed_key = row.String();
  authority.created_at = row.Time();
  authority.activated_at = row.Time();
  authority.retired_at = row.Time();
  MESHCA_RETURN_IF_ERROR(CheckRowMac("authority", authority.id, row.Bytes(), MacOf(authority, keys)));
  return authority;
}

absl::StatusOr<StoredBundle> ReadBundle(Query& row, const KeyEncryption& keys) {
  StoredBundle bundle;
  bundle.sequence_number = row.Uint();
  MESHCA_ASSIGN_OR_RETURN(bundle.roots_der, UnpackStrings(row.Bytes()));
  bundle.published_at = row.Time();
  MESHCA_RETURN_IF_ERROR(CheckRowMac("bundle", absl::StrCat(bundle.sequence_number), row.Bytes(), MacOf(bundle, keys)));
  return bundle;
}

absl::Status UpsertAuthority(Database& database, const KeyEncryption& keys, const StoredAuthority& authority) {
  const std::string chain = Pack(authority.chain_der);
  const std::string mac = MacOf(authority, keys);
  // The row number stays: issuances refer to it.
  return Query(
             database,
             "INSERT INTO authority(id, role, state, tainted, root_id, chain, key_reference, sealed_key, created_at,"
             " activated_at, retired_at, mac) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET"
             " role = excluded.role, state = excluded.state, tainted = excluded.tainted, root_id = excluded.root_id,"
             " chain = excluded.chain, key_reference = excluded.key_reference, sealed_key = excluded.sealed_key,"
             " created_at = excluded.created_at, activated_at = excluded.activated_at,"
             " retired_at = excluded.retired_at, mac = excluded.mac")
      .Bind(authority.id)
      .Bind(static_cast<int>(authority.role))
      .Bind(static_cast<int>(authority.state))
      .Bind(authority.tainted)
      .Bind(authority.root_id)
      .BindBlob(chain)
      .Bind(authority.key_reference)
      .BindBlob(authority.sealed_key)
      .Bind(authority.created_at)
      .Bind(authority.activated_at)
      .Bind(authority.retired_at)
      .BindBlob(mac)
      .Run();
}

absl::Status InsertBundle(Database& database, const KeyEncryption& keys, const StoredBundle& bundle) {
  const std::string roots = Pack(bundle.roots_der);
  const std::string mac = MacOf(bundle, keys);
  return Query(database, "INSERT INTO bundle(sequence, roots, published_at, mac) VALUES(?, ?, ?, ?)")
      .Bind(bundle.sequence_number)
      .BindBlob(roots)
      .Bind(bundle.published_at)
      .BindBlob(mac)
      .Run();
}

absl::Status DeleteAuthority(Database& database, const std::string& id) {
  {
    // The counters say it without reading the issuances, which have no index by authority.
    Query signed_some(database,
                      "SELECT sum(count) FROM expiry WHERE authority = (SELECT ref FROM authority WHERE id = ?)");
    if (signed_some.Bind(id).Next() && signed_some.Int() != 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          "authorities: ", id, " has signed certificates that are on record: it is retired, not forgotten"));
    }
    MESHCA_RETURN_IF_ERROR(signed_some.status());
  }
  return Query(database, "DELETE FROM authority WHERE id = ?").Bind(id).Run();
}

absl::Status CheckBundleGrows(Database& database, const StoredBundle& bundle) {
  Query newest(database, "SELECT max(sequence) FROM bundle");
  if (!newest.Next()) return newest.status();
  const uint64_t highest = newest.Uint();
  if (bundle.sequence_number > highest && bundle.sequence_number <= std::numeric_limits<int64_t>::max()) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("trust bundle: sequence number ", bundle.sequence_number, " is not above ", highest));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> UnpackStrings(absl::string_view bytes) {
  auto number = [&bytes](uint64_t& value) {
    if (bytes.size() < 8) return false;
    value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
    bytes.remove_prefix(8);
    return true;
  };
  const absl::Status malformed = absl::DataLossError(absl::StrCat("database: a list is damaged; ", RestoreAdvice()));
  uint64_t count = 0;
  if (!number(count) || count > bytes.size() / 8) return malformed;
  std::vector<std::string> strings;
  for (uint64_t size = 0; strings.size() < count;) {
    if (!number(size) || size > bytes.size()) return malformed;
    strings.emplace_back(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  if (!bytes.empty()) return malformed;
  return strings;
}

absl::StatusOr<AuthoritiesAndBundle> SelectAuthorities(Database& database, const KeyEncryption& keys) {
  AuthoritiesAndBundle trust;
  {
    Query meta(database, "SELECT trust_domain, revision FROM meta");
    if (!meta.Next()) return meta.status().ok() ? RowForged("meta", "1") : meta.status();
    trust.trust_domain = meta.String();
    trust.revision = meta.Uint();
  }
  Query authorities(database,
                    "SELECT id, role, state, tainted, root_id, chain, key_reference, sealed_key, created_at,"
                    " activated_at, retired_at, mac FROM authority ORDER BY ref");
  while (authorities.Next()) {
    MESHCA_ASSIGN_OR_RETURN(StoredAuthority authority, ReadAuthority(authorities, keys));
    trust.authorities.push_back(std::move(authority));
  }
  MESHCA_RETURN_IF_ERROR(authorities.status());
  Query bundle(database, "SELECT sequence, roots, published_at, mac FROM bundle ORDER BY sequence DESC LIMIT 1");
  if (bundle.Next()) {
    MESHCA_ASSIGN_OR_RETURN(trust.bundle, ReadBundle(bundle, keys));
  }
  MESHCA_RETURN_IF_ERROR(bundle.status());
  MESHCA_ASSIGN_OR_RETURN(trust.rotation, SelectNewestRotation(database, keys));
  return trust;
}

absl::StatusOr<uint64_t> ApplyAuthorityChange(Database& database, const KeyEncryption& keys,
                                              const AuthorityChange& change) {
  if (change.audit.empty()) return absl::InvalidArgumentError("authorities: a change of trust needs an audit entry");
  std::string trust_domain;
  uint64_t revision = 0;
  {
    Query meta(database, "SELECT trust_domain, revision FROM meta");
    if (!meta.Next()) return meta.status();
    trust_domain = meta.String();
    revision = meta.Uint();
  }
  if (revision != change.expected_revision) {
    return absl::AbortedError(
        absl::StrCat("authorities: judged on revision ", change.expected_revision, ", the store is at ", revision));
  }
  if (!trust_domain.empty() && trust_domain != change.trust_domain) {
    return absl::FailedPreconditionError(absl::StrCat("authorities: this store belongs to trust domain ", trust_domain,
                                                      ", not ", change.trust_domain,
                                                      ": give another trust domain its own --state-dir"));
  }
  if (change.bundle) {
    MESHCA_RETURN_IF_ERROR(CheckBundleGrows(database, *change.bundle));
    MESHCA_RETURN_IF_ERROR(InsertBundle(database, keys, *change.bundle));
  }
  for (const std::string& id : change.forgotten_authorities) MESHCA_RETURN_IF_ERROR(DeleteAuthority(database, id));
  for (const StoredAuthority& authority : change.authorities) {
    MESHCA_RETURN_IF_ERROR(UpsertAuthority(database, keys, authority));
  }
  if (change.forgotten_rotation != 0) {
    MESHCA_RETURN_IF_ERROR(DeleteRotation(database, change.forgotten_rotation));
  }
  if (change.rotation) MESHCA_RETURN_IF_ERROR(UpsertRotation(database, keys, *change.rotation));
  for (const auto& [name, value] : change.sealed_settings) {
    MESHCA_RETURN_IF_ERROR(UpsertSealedSetting(database, keys, name, value));
  }
  for (const AuditEntry& entry : change.audit) MESHCA_RETURN_IF_ERROR(InsertAudit(database, entry));
  MESHCA_RETURN_IF_ERROR(Query(database, "UPDATE meta SET trust_domain = ?, revision = ?")
                             .Bind(change.trust_domain)
                             .Bind(revision + 1)
                             .Run());
  return revision + 1;
}

absl::Status VerifyBundles(Database& database, const KeyEncryption& keys) {
  Query rows(database, "SELECT sequence, roots, published_at, mac FROM bundle");
  while (rows.Next()) MESHCA_RETURN_IF_ERROR(ReadBundle(rows, keys).status());
  return rows.status();
}

absl::StatusOr<std::string> SelectSetting(Database& database, absl::string_view name) {
  Query row(database, "SELECT value FROM setting WHERE name = ?");
  row.Bind(name);
  if (row.Next()) return row.String();
  MESHCA_RETURN_IF_ERROR(row.status());
  return absl::NotFoundError(absl::StrCat("setting ", name, " was never set"));
}

absl::Status UpsertSetting(Database& database, absl::string_view name, absl::string_view value) {
  return Query(database,
               "INSERT INTO setting(name, value, mac) VALUES(?, ?, NULL) ON CONFLICT(name) DO UPDATE SET"
               " value = excluded.value, mac = NULL")
      .Bind(name)
      .BindBlob(value)
      .Run();
}

absl::StatusOr<std::string> SelectSealedSetting(Database& database, const KeyEncryption& keys, absl::string_view name) {
  Query row(database, "SELECT value, mac FROM setting WHERE name = ?");
  row.Bind(name);
  if (row.Next()) {
    std::string value = row.String();
    MESHCA_RETURN_IF_ERROR(CheckRowMac("setting", name, row.Bytes(), MacOfSetting(name, value, keys)));
    return value;
  }
  MESHCA_RETURN_IF_ERROR(row.status());
  return absl::NotFoundError(absl::StrCat("setting ", name, " was never set"));
}

absl::Status UpsertSealedSetting(Database& database, const KeyEncryption& keys, absl::string_view name,
                                 absl::string_view value) {
  const std::string mac = MacOfSetting(name, value, keys);
  return Query(database,
               "INSERT INTO setting(name, value, mac) VALUES(?, ?, ?) ON CONFLICT(name) DO UPDATE SET"
               " value = excluded.value, mac = excluded.mac")
      .Bind(name)
      .BindBlob(value)
      .BindBlob(mac)
      .Run();
}

absl::Status VerifySealedSettings(Database& database, const KeyEncryption& keys) {
  Query rows(database, "SELECT name, value, mac FROM setting WHERE mac IS NOT NULL");
  while (rows.Next()) {
    const std::string name = rows.String();
    const std::string value = rows.String();
    MESHCA_RETURN_IF_ERROR(CheckRowMac("setting", name, rows.Bytes(), MacOfSetting(name, value, keys)));
  }
  return rows.status();
}

}  // namespace meshca::storage
