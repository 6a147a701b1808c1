#include "ca/service/admin_methods.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authn/overflow_ids.h"
#include "ca/authority/settings.h"
#include "ca/authority/spiffe_bundle.h"
#include "ca/identity/join_token_text.h"
#include "ca/service/certificate_standing.h"
#include "ca/service/proto_time.h"
#include "ca/x509/key_request.h"
#include "test/ca/service/service_fixture.h"
#include "test/fakes/status_matchers.h"

namespace meshca::admin_methods {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kWeb[] = "spiffe://cluster.local/ns/default/sa/web";

class AdminTest : public ServiceTest {
 protected:
  std::vector<std::string> AuditActions() {
    std::vector<std::string> actions;
    EXPECT_THAT(store.ListAudit([&](const AuditEntry& entry) {
      actions.push_back(entry.action + " by " + entry.actor);
      return true;
    }),
                IsOk());
    return actions;
  }

  // Issues one certificate; its record's serial.
  std::string Issue(absl::string_view path) {
    SubmittedRequest request;
    request.caller = Caller(path);
    request.csr = Csr(path);
    std::string serial;
    Mutex mutex;
    CondVar done;
    bool finished = false;
    pipeline->Submit(std::move(request), [&](absl::StatusOr<IssuedCertificate> issued) {
      MutexLock lock(mutex);
      if (issued.ok()) serial = issued->record->serial.ToHex();
      finished = true;
      done.NotifyAll();
    });
    MutexLock lock(mutex);
    while (!finished) done.Wait(mutex);
    return serial;
  }

  AdminContext context = Context();
};

// --- tokens ---

v1::CreateTokenRequest TokenFor(const std::string& id) {
  v1::CreateTokenRequest request;
  request.set_spiffe_id(id);
  return request;
}

TEST_F(AdminTest, ATokenCarriesTheRootAndIsKeptAsAHash) {
  const auto made = CreateToken(context, kActor, TokenFor(kWeb));
  ASSERT_THAT(made, IsOk());
  const auto text = ParseJoinToken(made->token());
  ASSERT_THAT(text, IsOk());
  EXPECT_EQ(text->root_spki_sha256, manager->Current()->bundle->roots.front().public_key().sha256());
  EXPECT_EQ(made->root_fingerprint(), manager->Current()->issuing->root_id);
  EXPECT_EQ(ToTime(made->record().expires_at()), clock.Now() + absl::Minutes(10));
  EXPECT_EQ(made->record().state(), "fresh");

  const auto kept = store.FindToken(JoinTokenSha256(made->token()));
  ASSERT_THAT(kept, IsOk());
  EXPECT_EQ(kept->spiffe_id.uri(), kWeb);
  EXPECT_THAT(AuditActions(), testing::Contains("token.create by uid 0 pid 1"));
}

TEST_F(AdminTest, AListOfTokensSaysTheirStateAndNoSecret) {
  const auto made = CreateToken(context, kActor, TokenFor(kWeb));
  clock.Advance(absl::Minutes(11));
  const auto list = ListTokens(context, kActor, v1::ListTokensRequest());
  ASSERT_THAT(list, IsOk());
  ASSERT_EQ(list->tokens_size(), 1);
  EXPECT_EQ(list->tokens(0).state(), "expired");
  EXPECT_THAT(list->ShortDebugString(), Not(HasSubstr(made->token())));
}

TEST_F(AdminTest, ADeletedTokenIsGone) {
  const auto made = CreateToken(context, kActor, TokenFor(kWeb));
  v1::DeleteTokenRequest request;
  request.set_id(made->record().id());
  EXPECT_THAT(DeleteToken(context, kActor, request), IsOk());
  EXPECT_THAT(DeleteToken(context, kActor, request), StatusIs(absl::StatusCode::kNotFound, HasSubstr("token list")));
}

// A clock that has jumped ahead, and may be set right in a moment, dates nothing that is kept.
TEST_F(AdminTest, AClockThatIsDoubtedDatesNoTokenAndNoEntry) {
  const absl::Time then = clock.Now();
  clock.JumpInDoubt(then + absl::Hours(100));
  const auto made = CreateToken(context, kActor, TokenFor(kWeb));
  ASSERT_THAT(made, IsOk());
  EXPECT_EQ(ListTokens(context, kActor, {})->tokens(0).state(), "fresh");
  v1::DeleteTokenRequest no_token;
  no_token.set_id(made->record().id());
  EXPECT_THAT(DeleteToken(context, kActor, no_token), IsOk());
  v1::CreateEntryRequest entry;
  entry.mutable_entry()->set_spiffe_id(kWeb);
  entry.mutable_entry()->add_selectors("unix:uid:1000");
  const auto created = CreateEntry(context, kActor, entry);
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ(ToTime(created->created_at()), then);
  v1::DeleteEntryRequest no_entry;
  no_entry.set_id(created->id());
  EXPECT_THAT(DeleteEntry(context, kActor, no_entry), IsOk());
  int deeds = 0;
  ASSERT_THAT(store.ListAudit([&](const AuditEntry& deed) {
    EXPECT_EQ(deed.time, then) << deed.action;
    ++deeds;
    return true;
  }),
              IsOk());
  EXPECT_GE(deeds, 4);
}

struct BadToken {
  std::string name;
  std::string id;
  int64_t ttl_seconds;
  std::string words;
};
class AdminRefusesToken : public AdminTest, public testing::WithParamInterface<BadToken> {};
TEST_P(AdminRefusesToken, InvalidArgument) {
  v1::CreateTokenRequest request = TokenFor(GetParam().id);
  if (GetParam().ttl_seconds != 0) request.mutable_ttl()->set_seconds(GetParam().ttl_seconds);
  EXPECT_THAT(CreateToken(context, kActor, request), StatusIs(kInvalid, HasSubstr(GetParam().words)));
}
INSTANTIATE_TEST_SUITE_P(Rules, AdminRefusesToken,
                         testing::Values(BadToken{"NoSpiffeId", "web", 0, "SPIFFE ID"},
                                         BadToken{"OtherTrustDomain", "spiffe://other.test/web", 0, "cluster.local"},
                                         BadToken{"NoPath", "spiffe://cluster.local", 0, "no path"},
                                         BadToken{"DotDot", "spiffe://cluster.local/a/../b", 0, "dot segment"},
                                         BadToken{"NegativeTtl", kWeb, -5, "outside"},
                                         BadToken{"TtlOfAYear", kWeb, 365 * 86400, "outside"}),
                         [](const auto& info) { return info.param.name; });

// --- entries ---

v1::Entry EntryFor(const std::string& id, const std::vector<std::string>& selectors) {
  v1::Entry entry;
  entry.set_spiffe_id(id);
  for (const std::string& selector : selectors) entry.add_selectors(selector);
  return entry;
}

absl::StatusOr<v1::Entry> Create(const AdminContext& context, const v1::Entry& entry) {
  v1::CreateEntryRequest request;
  *request.mutable_entry() = entry;
  return CreateEntry(context, kActor, request);
}

TEST_F(AdminTest, AnEntryIsKeptNormalisedAndTheOthersHearOfIt) {
  const auto made = Create(context, EntryFor(kWeb, {"unix:uid:1000", "unix:gid:7", "unix:uid:1000"}));
  ASSERT_THAT(made, IsOk());
  EXPECT_THAT(made->selectors(), ElementsAre("unix:gid:7", "unix:uid:1000"));
  EXPECT_EQ(entry_changes, 1);
  v1::GetEntryRequest get;
  get.set_id(made->id());
  EXPECT_EQ(GetEntry(context, kActor, get)->spiffe_id(), kWeb);
  EXPECT_THAT(AuditActions(), testing::Contains("entry.create by uid 0 pid 1"));

  EXPECT_THAT(Create(context, EntryFor(kWeb, {"unix:gid:7", "unix:uid:1000"})),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr(made->id())));

  v1::DeleteEntryRequest remove;
  remove.set_id(made->id());
  EXPECT_THAT(DeleteEntry(context, kActor, remove), IsOk());
  EXPECT_EQ(entry_changes, 2);
  EXPECT_THAT(DeleteEntry(context, kActor, remove), StatusIs(absl::StatusCode::kNotFound, HasSubstr("entry list")));
  EXPECT_THAT(GetEntry(context, kActor, get), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(AdminTest, AnEntrysDnsNamesAreLowerCase) {
  v1::Entry entry = EntryFor(kWeb, {"unix:uid:1000"});
  entry.add_dns_names("Web.Default.svc");
  EXPECT_THAT(Create(context, entry)->dns_names(), ElementsAre("web.default.svc"));
  v1::ApplyEntriesRequest again;
  *again.add_entries() = entry;
  EXPECT_EQ(ApplyEntries(context, kActor, again)->unchanged_size(), 1);
}

// Answers as it did before somebody else's creation was committed.
class ListedTooEarly final : public EntryStore {
 public:
  explicit ListedTooEarly(EntryStore& store) : store_(store) {}
  absl::Status CreateEntry(const RegistrationEntry& entry, const AuditEntry& audit) override {
    return store_.CreateEntry(entry, audit);
  }
  absl::Status PutEntry(const RegistrationEntry& entry, const AuditEntry& audit) override {
    return store_.PutEntry(entry, audit);
  }
  absl::StatusOr<std::vector<RegistrationEntry>> ListEntries() override { return std::vector<RegistrationEntry>(); }
  absl::Status DeleteEntry(absl::string_view id, const AuditEntry& audit) override {
    return store_.DeleteEntry(id, audit);
  }

 private:
  EntryStore& store_;
};

TEST_F(AdminTest, TwoCreationsOfOneIdAtATimeAreNotBothDone) {
  v1::Entry first = EntryFor(kWeb, {"unix:uid:1000"}), second = EntryFor(kWeb, {"unix:uid:2000"});
  first.set_id("web");
  second.set_id("web");
  ASSERT_THAT(Create(context, first), IsOk());
  ListedTooEarly entries(store);
  AdminContext late{clock, SystemEntropy(), *manager, store,       store,        entries,
                    store, store,           store,    subscribers, context.facts};
  EXPECT_THAT(Create(late, second), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("web")));
  ASSERT_THAT(store.ListEntries(), IsOk());
  EXPECT_THAT(store.ListEntries()->front().selectors, ElementsAre("unix:uid:1000"));
}

struct BadEntry {
  std::string name;
  v1::Entry entry;
  std::string words;
};
class AdminRefusesEntry : public AdminTest, public testing::WithParamInterface<BadEntry> {};
TEST_P(AdminRefusesEntry, InvalidArgument) {
  EXPECT_THAT(Create(context, GetParam().entry), StatusIs(kInvalid, HasSubstr(GetParam().words)));
  EXPECT_THAT(ListEntries(context, kActor, v1::ListEntriesRequest())->entries(), IsEmpty());
}
v1::Entry WithBad(void (*change)(v1::Entry&)) {
  v1::Entry entry = EntryFor(kWeb, {"unix:uid:1"});
  change(entry);
  return entry;
}
INSTANTIATE_TEST_SUITE_P(
    Rules, AdminRefusesEntry,
    testing::Values(BadEntry{"NoSelector", EntryFor(kWeb, {}), "selector"},
                    BadEntry{"UnknownSelector", EntryFor(kWeb, {"docker:label:a"}), "docker:label:a"},
                    BadEntry{"OverflowUid", EntryFor(kWeb, {absl::StrCat("unix:uid:", OverflowIds::OfKernel().uid)}),
                             "names nobody; give the workload a uid of its own"},
                    BadEntry{"OverflowGid", EntryFor(kWeb, {absl::StrCat("unix:gid:", OverflowIds::OfKernel().gid)}),
                             "names nobody; give the workload a gid of its own"},
                    BadEntry{"NoUid", EntryFor(kWeb, {"unix:uid:4294967295"}), "is no user"},
                    BadEntry{"TrustDomainItself", EntryFor("spiffe://cluster.local", {"unix:uid:1"}), "workload"},
                    BadEntry{"OtherTrustDomain", EntryFor("spiffe://other.test/a", {"unix:uid:1"}), "cluster.local"},
                    BadEntry{"BadDnsName", WithBad([](v1::Entry& e) { e.add_dns_names("no name"); }), "no name"},
                    BadEntry{"NegativeTtl", WithBad([](v1::Entry& e) { e.mutable_ttl()->set_seconds(-1); }),
                             "negative"},
                    BadEntry{"BadId", WithBad([](v1::Entry& e) { e.set_id("a/b"); }), "letters"}),
    [](const auto& info) { return info.param.name; });

TEST_F(AdminTest, ApplyingAFileTwiceChangesNothingTheSecondTime) {
  v1::ApplyEntriesRequest request;
  *request.add_entries() = EntryFor(kWeb, {"unix:uid:1000"});
  *request.add_entries() = EntryFor("spiffe://cluster.local/b", {"unix:uid:1001"});
  request.set_dry_run(true);
  EXPECT_EQ(ApplyEntries(context, kActor, request)->created_size(), 2);
  EXPECT_THAT(ListEntries(context, kActor, v1::ListEntriesRequest())->entries(), IsEmpty());
  request.set_dry_run(false);
  EXPECT_EQ(ApplyEntries(context, kActor, request)->created_size(), 2);
  EXPECT_EQ(ApplyEntries(context, kActor, request)->unchanged_size(), 2);

  request.mutable_entries(0)->mutable_ttl()->set_seconds(60);
  request.mutable_entries()->RemoveLast();
  request.set_prune(true);
  const auto applied = ApplyEntries(context, kActor, request);
  ASSERT_THAT(applied, IsOk());
  EXPECT_EQ(applied->replaced_size(), 1);
  EXPECT_EQ(applied->deleted_size(), 1);
  const auto list = ListEntries(context, kActor, v1::ListEntriesRequest());
  ASSERT_EQ(list->entries_size(), 1);
  EXPECT_EQ(list->entries(0).ttl().seconds(), 60);
}

TEST_F(AdminTest, ABadEntryOfAFileIsNamedAndNothingIsWritten) {
  v1::ApplyEntriesRequest request;
  *request.add_entries() = EntryFor(kWeb, {"unix:uid:1000"});
  *request.add_entries() = EntryFor("nonsense", {"unix:uid:1001"});
  EXPECT_THAT(ApplyEntries(context, kActor, request), StatusIs(kInvalid, HasSubstr("entries[1]")));
  EXPECT_THAT(ListEntries(context, kActor, v1::ListEntriesRequest())->entries(), IsEmpty());
}

// --- certificates ---

TEST_F(AdminTest, TheInventoryHasEveryCertificate) {
  const std::string first = Issue("/ns/default/sa/web");
  const std::string second = Issue("/ns/prod/sa/db");
  std::vector<std::string> serials;
  const auto collect = [&](const v1::CertificateRecord& record) {
    serials.push_back(record.serial());
    return true;
  };
  EXPECT_THAT(ListCertificates(context, kActor, v1::ListCertificatesRequest(), collect), IsOk());
  EXPECT_THAT(serials, ElementsAre(first, second));

  serials.clear();
  v1::ListCertificatesRequest filter;
  filter.set_spiffe_id_glob("*/ns/prod/*");
  EXPECT_THAT(ListCertificates(context, kActor, filter, collect), IsOk());
  EXPECT_THAT(serials, ElementsAre(second));

  v1::GetCertificateRequest get;
  get.set_serial(first);
  const auto record = GetCertificate(context, kActor, get);
  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(record->spiffe_id(), kWeb);
  EXPECT_EQ(record->auth_method(), "jwt");
  EXPECT_EQ(record->authority_id(), manager->Current()->issuing->id);
  get.set_serial(std::string(31, '1') + "2");
  EXPECT_THAT(GetCertificate(context, kActor, get), StatusIs(absl::StatusCode::kNotFound, HasSubstr("cert list")));
  get.set_serial("12:34");
  EXPECT_THAT(GetCertificate(context, kActor, get), StatusIs(kInvalid, HasSubstr("12:34")));
}

TEST_F(AdminTest, RenewalGoesToTheSubscribersThatHoldTheCertificate) {
  SubscriberRecord web;
  web.instance = "1";
  web.spiffe_id = kWeb;
  web.serial = "35825a88b88029b284f79b065178f7aa";
  web.connected = true;
  SubscriberRecord gone = web;
  gone.instance = "2";
  gone.connected = false;
  subscribers.records = {web, gone};
  v1::RenewCertificatesRequest request;
  request.set_serial(web.serial);
  EXPECT_EQ(RenewCertificates(context, kActor, request)->renewed(), 1u);
  request.clear_serial();
  request.set_spiffe_id_glob("spiffe://cluster.local/ns/default/*");
  EXPECT_THAT(RenewCertificates(context, kActor, request)->spiffe_ids(), ElementsAre(kWeb));
  request.set_spiffe_id_glob("spiffe://cluster.local/ns/other/*");
  EXPECT_THAT(RenewCertificates(context, kActor, request),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("subscriber list")));
  request.set_serial(web.serial);
  EXPECT_THAT(RenewCertificates(context, kActor, request), StatusIs(kInvalid, HasSubstr("either")));
}

// --- authorities, bundle, status, check ---

TEST_F(AdminTest, AuthoritiesAreListedRootsFirstWithTheirLiveLeaves) {
  Issue("/ns/default/sa/web");
  const auto list = ListAuthorities(context, kActor, v1::ListAuthoritiesRequest());
  ASSERT_THAT(list, IsOk());
  ASSERT_EQ(list->authorities_size(), 2);
  EXPECT_EQ(list->authorities(0).role(), "root");
  EXPECT_EQ(list->authorities(0).live_certificates(), 1u);
  EXPECT_EQ(list->authorities(1).role(), "issuing");
  EXPECT_EQ(list->authorities(1).root_id(), list->authorities(0).id());
}

TEST_F(AdminTest, ImportGoesToTheManagerWithAnAbsoluteFolder) {
  std::string seen;
  context.import_root = [&](const SetFiles& files, const std::string& actor, const ImportOptions& options) {
    seen = absl::StrCat(files.place(), " ", actor, " ", options.force, " ", options.renew_unrecorded);
    return absl::FailedPreconditionError("1 certificate lives under the present root");
  };
  v1::ImportRootRequest request;
  request.set_folder("relative");
  EXPECT_THAT(ImportRoot(context, kActor, request), StatusIs(kInvalid, HasSubstr("absolute")));
  request.set_folder("/etc/cacerts");
  request.set_force(true);
  request.set_renew_unrecorded(true);
  EXPECT_THAT(ImportRoot(context, kActor, request), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(seen, "/etc/cacerts uid 0 pid 1 1 1");
}

TEST_F(AdminTest, ImportTakesTheFilesOfASecret) {
  std::string seen;
  context.import_root = [&](const SetFiles& files, const std::string&, const ImportOptions&) {
    seen = absl::StrCat(files.PathOf("ca-key.pem"), " ", *files.Read("ca-key.pem", 100, FileSecrecy::kSecret), " ",
                        files.Has("tls.key"));
    return absl::OkStatus();
  };
  v1::ImportRootRequest request;
  v1::ImportedFile& file = *request.add_files();
  file.set_name("ca-key.pem");
  file.set_content("its bytes");
  EXPECT_THAT(ImportRoot(context, kActor, request), StatusIs(kInvalid, HasSubstr("origin")));
  request.set_origin("secret istio-system/cacerts");
  EXPECT_THAT(ImportRoot(context, kActor, request), IsOk());
  EXPECT_EQ(seen, "secret istio-system/cacerts/ca-key.pem its bytes 0");
  request.set_folder("/etc/cacerts");
  EXPECT_THAT(ImportRoot(context, kActor, request), StatusIs(kInvalid, HasSubstr("one of them")));
  request.clear_folder();
  *request.add_files() = file;
  EXPECT_THAT(ImportRoot(context, kActor, request), StatusIs(kInvalid, HasSubstr("twice")));
}

TEST_F(AdminTest, ExportWantsProofOfTheKey) {
  int calls = 0;
  context.export_authority = [&](const ExportRequest& request, const std::string&) -> absl::StatusOr<ExportedSet> {
    ++calls;
    return absl::FailedPreconditionError(absl::FormatDuration(request.lifetime));
  };
  v1::ExportAuthorityRequest request;
  request.set_csr("a public key");
  EXPECT_THAT(ExportAuthority(context, kActor, request), StatusIs(kInvalid, HasSubstr("csr: ")));
  request.set_csr(MakeKeyRequest(*SoftwareKey::Generate(KeyType::kEcP256).value())->bytes());
  request.mutable_lifetime()->set_seconds(-1);
  EXPECT_THAT(ExportAuthority(context, kActor, request), StatusIs(kInvalid, HasSubstr("above 0")));
  EXPECT_EQ(calls, 0);
  request.mutable_lifetime()->set_seconds(3600);
  EXPECT_THAT(ExportAuthority(context, kActor, request),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("1h")));
}

TEST_F(AdminTest, TheBundleIsPemAndSpiffeJson) {
  const auto bundle = GetBundle(context, kActor, v1::GetBundleRequest());
  ASSERT_THAT(bundle, IsOk());
  EXPECT_THAT(Certificate::ParseAll(Pem(bundle->roots_pem())), IsOk());
  EXPECT_THAT(bundle->spiffe_json(), HasSubstr(R"("use":"x509-svid","crv":"P-256","kty":"EC","x":")"));
  EXPECT_THAT(bundle->spiffe_json(), HasSubstr(absl::StrCat(R"("spiffe_sequence":)", bundle->sequence_number())));
}

TEST_F(AdminTest, StatusAnswersEvenWhenTheDatabaseDoesNot) {
  const auto well = GetStatus(context, kActor, v1::GetStatusRequest());
  ASSERT_THAT(well, IsOk());
  EXPECT_TRUE(well->ready());
  EXPECT_EQ(well->listeners(0).address(), "127.0.0.1:15012");
  EXPECT_EQ(well->root().id(), manager->Current()->issuing->root_id);
  context.readiness = [] { return absl::UnavailableError("disk full"); };
  const auto ill = GetStatus(context, kActor, v1::GetStatusRequest());
  EXPECT_FALSE(ill->ready());
  EXPECT_EQ(ill->not_ready_reason(), "disk full");
}

std::string StateOf(const v1::CheckResponse& response, const std::string& name) {
  for (const v1::Fact& fact : response.facts()) {
    if (fact.name() == name) return fact.state() + (fact.mend().empty() ? "" : ": " + fact.mend());
  }
  return "absent";
}

TEST_F(AdminTest, CheckFindsWhatIsWrongAndSaysWhatMendsIt) {
  const auto well = Check(context, kActor, v1::CheckRequest());
  ASSERT_THAT(well, IsOk());
  for (const v1::Fact& fact : well->facts()) {
    if (fact.name() == "disk space") continue;
    EXPECT_EQ(fact.state(), "ok") << fact.ShortDebugString();
  }

  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  store.FailWrites(absl::UnavailableError("disk full"));
  context.authority_error = [] { return "cacerts: key does not fit"; };
  SubscriberRecord nack;
  nack.spiffe_id = kWeb;
  nack.connected = true;
  nack.rejected = "bad key";
  subscribers.records = {nack};
  const auto ill = Check(context, kActor, v1::CheckRequest());
  EXPECT_THAT(StateOf(*ill, "state directory"), HasSubstr("failed: chmod 700"));
  EXPECT_THAT(StateOf(*ill, "database writes"), HasSubstr("failed"));
  EXPECT_THAT(StateOf(*ill, "authority renewal"), HasSubstr("failed"));
  EXPECT_THAT(StateOf(*ill, "subscribers"), HasSubstr("warning"));

  clock.Advance(absl::Hours(24 * 28));
  EXPECT_THAT(StateOf(*Check(context, kActor, v1::CheckRequest()), "issuing authority"), HasSubstr("warning"));
  clock.JumpTo(clock.Now() - absl::Hours(24 * 365));
  EXPECT_THAT(StateOf(*Check(context, kActor, v1::CheckRequest()), "root"), HasSubstr("failed: set the clock"));
}

struct IssuerCase {
  const char* name;
  const char* jwks;  // null: none is held
  bool reached;
  const char* error;
  const char* state;  // state and mend
  const char* detail;
};
class AdminChecksIssuer : public AdminTest, public testing::WithParamInterface<IssuerCase> {};

constexpr char kGoodJwk[] = R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})";

TEST_P(AdminChecksIssuer, SaysWhereItsKeysAreAndWhatIsWrongWithThem) {
  JwtIssuerReport report;
  report.issuer = "https://issuer.test";
  report.keys.location = "https://issuer.test/jwks";
  if (GetParam().reached) report.keys.last_success = clock.Now();
  report.keys.error = GetParam().error;
  if (GetParam().jwks != nullptr) {
    report.keys.keys = std::make_shared<const Jwks>(Jwks::Parse(absl::StrCat(GetParam().jwks)).value());
  }
  context.token_issuers = [&] { return std::vector<JwtIssuerReport>{report}; };
  const auto checked = Check(context, kActor, v1::CheckRequest());
  ASSERT_THAT(checked, IsOk());
  EXPECT_THAT(StateOf(*checked, "token issuer https://issuer.test"), HasSubstr(GetParam().state));
  for (const v1::Fact& fact : checked->facts()) {
    if (fact.name() != "token issuer https://issuer.test") continue;
    EXPECT_THAT(fact.detail(), HasSubstr(GetParam().detail));
    EXPECT_THAT(fact.detail(), HasSubstr("https://issuer.test/jwks"));
  }
}
const std::string kOneKey = absl::StrCat(R"({"keys":[)", kGoodJwk, "]}");
const std::string kEncryptionKeyToo = absl::StrCat(R"({"keys":[{"kty":"RSA","use":"enc"},)", kGoodJwk, "]}");
const std::string kWeakKeyToo =
    absl::StrCat(R"({"keys":[{"kty":"RSA","kid":"old","n":"AQ","e":"AQAB"},)", kGoodJwk, "]}");
INSTANTIATE_TEST_SUITE_P(
    Rules, AdminChecksIssuer,
    testing::Values(IssuerCase{"NeverReached", nullptr, false, "GET https://issuer.test/jwks: HTTP status 406",
                               "failed: make https://issuer.test/jwks readable", "were never read"},
                    IssuerCase{"NotReachedForTooLong", nullptr, true, "GET https://issuer.test/jwks: no route",
                               "failed: make https://issuer.test/jwks readable", "were not read since"},
                    IssuerCase{"NoUsableKey", R"({"keys":[{"kty":"oct"}]})", true, "", "failed: publish",
                               "none of its tokens is accepted: keys[0]: "},
                    IssuerCase{"LastLookFailed", kOneKey.c_str(), true, "HTTP status 502", "warning: make",
                               "the last look failed: HTTP status 502"},
                    IssuerCase{"BrokenKeyLeftOut", kWeakKeyToo.c_str(), true, "", "warning: mend or withdraw",
                               "not used: \"old\": "},
                    IssuerCase{"KeyForEncryptionIsNoFault", kEncryptionKeyToo.c_str(), true, "", "ok", "1 key of"},
                    IssuerCase{"Well", kOneKey.c_str(), true, "", "ok", "1 key of"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(AdminTest, CertificatesThatMayRenewWithoutARecordAreShownByStatusAndWarnedOfByCheck) {
  EXPECT_FALSE(GetStatus(context, kActor, v1::GetStatusRequest())->has_unrecorded_renewal());
  EXPECT_EQ(StateOf(*Check(context, kActor, v1::CheckRequest()), "renewal without a record"), "absent");
  const std::string before = manager->Current()->issuing->id;
  ASSERT_THAT(store.PutSealedSetting(kSettingRecovered, "1"), IsOk());
  ASSERT_THAT(manager->Start(), IsOk());
  const auto status = GetStatus(context, kActor, v1::GetStatusRequest());
  ASSERT_TRUE(status->has_unrecorded_renewal());
  EXPECT_THAT(status->unrecorded_renewal().authority_ids(), testing::ElementsAre(before));
  EXPECT_EQ(status->unrecorded_renewal().why(), "restored from a backup");
  EXPECT_EQ(ToTime(status->unrecorded_renewal().until()), manager->Current()->unrecorded->until);
  EXPECT_THAT(StateOf(*Check(context, kActor, v1::CheckRequest()), "renewal without a record"),
              HasSubstr("warning: nothing to do: it ends by itself"));
}

TEST_F(AdminTest, CheckNamesTheEntriesThatFitNobody) {
  RegistrationEntry entry;
  entry.id = "made-by-an-older-version";
  entry.spiffe_id = Id("/ns/default/sa/web");
  entry.selectors = {absl::StrCat("unix:uid:", OverflowIds::OfKernel().uid)};
  ASSERT_THAT(store.CreateEntry(entry, AuditEntry()), IsOk());
  const auto checked = Check(context, kActor, v1::CheckRequest());
  ASSERT_THAT(checked, IsOk());
  EXPECT_THAT(StateOf(*checked, "registration entries"),
              AllOf(HasSubstr("warning"), HasSubstr("meshca entry delete made-by-an-older-version")));
}

// --- client certificates at the handshake ---

TEST_F(AdminTest, TheVerifierAcceptsOurOwnLeavesAndNoOthers) {
  const auto verifier = FollowBundle(*manager);
  EXPECT_THAT(verifier->Verify({}, clock.Now()), StatusIs(absl::StatusCode::kUnauthenticated));
  const std::vector<std::string> root = {manager->Current()->bundle->roots.front().der().bytes()};
  EXPECT_THAT(verifier->Verify(root, clock.Now()), StatusIs(absl::StatusCode::kUnauthenticated));
}

}  // namespace
}  // namespace meshca::admin_methods
