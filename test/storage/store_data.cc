#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "test/storage/conformance.h"

namespace meshca::storage {
namespace {

std::string Hash(absl::string_view text) {
  std::string hash(text);
  hash.resize(32, '#');
  return hash;
}

SpiffeId Id(absl::string_view uri) {
  auto id = SpiffeId::Parse(uri);
  MESHCA_CHECK(id.ok());
  return *id;
}

}  // namespace

IssuanceRecord RecordMaker::Make(absl::string_view spiffe_id, absl::string_view authority_id, absl::Duration lifetime) {
  IssuanceRecord record;
  record.serial = SerialNumber::Make(kTestNow, entropy_);
  record.spiffe_id = Id(spiffe_id);
  record.key_sha256 = Hash(absl::StrCat("key ", record.serial.ToHex()).substr(20));
  record.certificate_sha256 = Hash(absl::StrCat("cert ", record.serial.ToHex()).substr(20));
  record.authority_id = std::string(authority_id);
  record.not_before = kTestNow - absl::Minutes(2);
  record.not_after = kTestNow + lifetime;
  record.issued_at = kTestNow + absl::Microseconds(123456);
  record.method = AuthMethod::kJwt;
  record.caller = "jwt https://issuer.test sub=web";
  return record;
}

AuditEntry TestAudit(absl::string_view action) {
  AuditEntry entry;
  entry.time = kTestNow;
  entry.actor = "uid 0 pid 1";
  entry.action = std::string(action);
  entry.target = "spiffe://cluster.local/ns/default/sa/web";
  entry.detail = "a test did it";
  return entry;
}

StoredAuthority TestAuthority(absl::string_view id, AuthorityState state) {
  StoredAuthority authority;
  authority.id = std::string(id);
  authority.state = state;
  authority.root_id = "root";
  authority.chain_der = {"certificate", std::string("up\0stream", 9)};
  authority.key_reference = "sealed";
  authority.sealed_key = std::string("\0sealed", 7);
  authority.created_at = kTestNow;
  authority.activated_at = kTestNow + absl::Seconds(1);
  return authority;
}

StoredBundle TestBundle(uint64_t sequence_number) {
  StoredBundle bundle;
  bundle.sequence_number = sequence_number;
  bundle.roots_der = {"root one", "root two"};
  bundle.published_at = kTestNow;
  return bundle;
}

JoinToken TestToken(absl::string_view id) {
  JoinToken token;
  token.id = std::string(id);
  token.secret_sha256 = Hash(absl::StrCat("secret of ", id));
  token.spiffe_id = Id("spiffe://cluster.local/ns/default/sa/web");
  token.node = "node-1";
  token.created_at = kTestNow;
  token.expires_at = kTestNow + absl::Minutes(10);
  token.created_by = "uid 0";
  return token;
}

RegistrationEntry TestEntry(absl::string_view id, absl::string_view selector) {
  RegistrationEntry entry;
  entry.id = std::string(id);
  entry.spiffe_id = Id("spiffe://cluster.local/ns/default/sa/web");
  entry.selectors = {std::string(selector), "unix:path:/usr/bin/envoy"};
  entry.ttl = absl::Hours(1);
  entry.dns_names = {"web.test", "*.web.test"};
  entry.created_at = kTestNow;
  entry.created_by = "uid 0";
  return entry;
}

SubscriberRecord TestSubscriber(absl::string_view instance) {
  SubscriberRecord record;
  record.instance = std::string(instance);
  record.spiffe_id = "spiffe://cluster.local/ns/default/sa/web";
  record.node = "node-1";
  record.kind = "sds-unix";
  record.peer = "pid 4242 uid 1000";
  record.connected = true;
  record.first_seen = kTestNow;
  record.last_seen = kTestNow + absl::Seconds(5);
  record.bundle_sequence = 7;
  record.serial = "0a0b";
  record.version_info = "v1";
  record.acknowledged_at = kTestNow + absl::Seconds(4);
  return record;
}

uint64_t Activate(Store& store) {
  AuthorityChange change;
  change.trust_domain = "cluster.local";
  change.authorities = {TestAuthority(kIssuingA), TestAuthority(kIssuingB)};
  change.bundle = TestBundle(1);
  change.audit = {TestAudit("authority.activate")};
  auto revision = store.CommitAuthorities(change);
  MESHCA_CHECK(revision.ok());
  return *revision;
}

absl::Status SetState(Store& store, absl::string_view id, AuthorityState state, bool tainted) {
  AuthorityChange change;
  change.expected_revision = store.LoadAuthorities()->revision;
  change.trust_domain = "cluster.local";
  change.authorities = {TestAuthority(id, state)};
  change.authorities[0].tainted = tainted;
  change.audit = {TestAudit("authority.change")};
  return store.CommitAuthorities(change).status();
}

absl::Status AppendAndWait(Store& store, IssuanceRecord record) {
  std::promise<absl::Status> answer;
  std::future<absl::Status> future = answer.get_future();
  store.Append(std::move(record), [&answer](absl::Status status) { answer.set_value(std::move(status)); });
  return future.get();
}

void ExpectSame(const IssuanceRecord& got, const IssuanceRecord& wanted) {
  EXPECT_EQ(got.serial.ToHex(), wanted.serial.ToHex());
  EXPECT_EQ(got.spiffe_id.uri(), wanted.spiffe_id.uri());
  EXPECT_EQ(got.key_sha256, wanted.key_sha256);
  EXPECT_EQ(got.certificate_sha256, wanted.certificate_sha256);
  EXPECT_EQ(got.authority_id, wanted.authority_id);
  EXPECT_EQ(got.not_before, wanted.not_before);
  EXPECT_EQ(got.not_after, wanted.not_after);
  EXPECT_EQ(got.issued_at, wanted.issued_at);
  EXPECT_EQ(got.method, wanted.method);
  EXPECT_EQ(got.caller, wanted.caller);
  EXPECT_EQ(got.instance, wanted.instance);
  EXPECT_EQ(got.node, wanted.node);
  EXPECT_EQ(got.parent_serial, wanted.parent_serial);
  EXPECT_EQ(got.token_id, wanted.token_id);
}

}  // namespace meshca::storage
