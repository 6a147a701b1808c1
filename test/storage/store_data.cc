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

StoredJwtAuthority TestJwtAuthority(absl::string_view key_id, AuthorityState state) {
  StoredJwtAuthority authority;
  authority.key_id = std::string(key_id);
  authority.state = state;
  authority.tainted = true;
  authority.public_key_der = std::string("pub\0lic", 7);
  authority.key_reference = "sealed";
  authority.sealed_key = std::string("\0private", 8);
  authority.published_sequence = 12;
  authority.created_at = kTestNow;
  authority.activated_at = kTestNow + absl::Seconds(1);
  authority.replaced_at = kTestNow + absl::Seconds(2);
  authority.retired_at = kTestNow + absl::Seconds(3);
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
  record.trust_version = 7;
  record.serial = "0a0b";
  record.version_info = "v1";
  record.acknowledged_at = kTestNow + absl::Seconds(4);
  record.authority_id = kIssuingA;
  record.takes_key = true;
  return record;
}

RootRotation TestRotation(uint64_t number, RotationStep step) {
  RootRotation rotation;
  rotation.number = number;
  rotation.step = step;
  rotation.old_root_id = "old";
  rotation.new_root_id = "new";
  rotation.automatic = true;
  rotation.emergency = true;
  rotation.rolled_back = true;
  rotation.external_confirmed = true;
  rotation.deadline = kTestNow + absl::Hours(48);
  rotation.actor = "uid 0 pid 1";
  rotation.started_at = kTestNow;
  rotation.step_at = kTestNow + absl::Seconds(3);
  rotation.bundle_sequence = 2;
  rotation.published_at = kTestNow + absl::Seconds(2);
  rotation.retire_sequence = 3;
  rotation.forced = "uid 0 activated with one subscriber behind.";
  return rotation;
}

namespace {

uint64_t ActivateUnder(Store& store, absl::string_view root_of_a, absl::string_view root_of_b) {
  AuthorityChange change;
  change.trust_domain = "cluster.local";
  change.authorities = {TestAuthority(kIssuingA), TestAuthority(kIssuingB)};
  change.authorities[0].root_id = std::string(root_of_a);
  change.authorities[1].root_id = std::string(root_of_b);
  change.bundle = TestBundle(1);
  change.audit = {TestAudit("authority.activate")};
  auto revision = store.CommitAuthorities(change);
  MESHCA_CHECK(revision.ok());
  return *revision;
}

}  // namespace

uint64_t Activate(Store& store) { return ActivateUnder(store, "root", "root"); }
uint64_t ActivateUnderTwoRoots(Store& store) { return ActivateUnder(store, "old", "new"); }

absl::Status SetState(Store& store, absl::string_view id, AuthorityState state, bool tainted) {
  AuthorityChange change;
  change.expected_revision = store.LoadAuthorities()->revision;
  change.trust_domain = "cluster.local";
  change.authorities = {TestAuthority(id, state)};
  change.authorities[0].tainted = tainted;
  change.audit = {TestAudit("authority.change")};
  return store.CommitAuthorities(change).status();
}

PresentedCertificate Shown(const IssuanceRecord& issued) {
  return PresentedCertificate{issued.serial.ToHex(), issued.certificate_sha256, issued.spiffe_id};
}

IssuanceRecord RenewalOf(const IssuanceRecord& issued, RecordMaker& maker) {
  IssuanceRecord record = maker.Make(issued.spiffe_id.uri());
  record.method = AuthMethod::kClientCertificate;
  record.caller = absl::StrCat("certificate of ", issued.spiffe_id.uri());
  record.parent_serial = issued.serial.ToHex();
  record.presented = Shown(issued);
  return record;
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
  EXPECT_EQ(OriginText(got.origin), OriginText(wanted.origin));
}

void ExpectSame(const RootRotation& got, const RootRotation& wanted) {
  EXPECT_EQ(got.number, wanted.number);
  EXPECT_EQ(got.step, wanted.step);
  EXPECT_EQ(got.old_root_id, wanted.old_root_id);
  EXPECT_EQ(got.new_root_id, wanted.new_root_id);
  EXPECT_EQ(got.automatic, wanted.automatic);
  EXPECT_EQ(got.emergency, wanted.emergency);
  EXPECT_EQ(got.rolled_back, wanted.rolled_back);
  EXPECT_EQ(got.external_confirmed, wanted.external_confirmed);
  EXPECT_EQ(got.deadline, wanted.deadline);
  EXPECT_EQ(got.actor, wanted.actor);
  EXPECT_EQ(got.started_at, wanted.started_at);
  EXPECT_EQ(got.step_at, wanted.step_at);
  EXPECT_EQ(got.bundle_sequence, wanted.bundle_sequence);
  EXPECT_EQ(got.published_at, wanted.published_at);
  EXPECT_EQ(got.retire_sequence, wanted.retire_sequence);
  EXPECT_EQ(got.forced, wanted.forced);
}

}  // namespace meshca::storage
