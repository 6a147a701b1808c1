// Taking identities back, as the admin service does it.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "ca/identity/pod_origin.h"
#include "ca/service/admin_methods.h"
#include "ca/service/proto_time.h"
#include "test/ca/service/service_fixture.h"
#include "test/fakes/status_matchers.h"

namespace meshca::admin_methods {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr auto kNotFound = absl::StatusCode::kNotFound;

class AdminRevocationTest : public ServiceTest {
 protected:
  struct Made {
    std::string path = "/ns/default/sa/web";
    std::string node = {};
    Origin origin = {OriginKind::kJwtIssuer, "https://issuer.test"};
  };

  // Issues one certificate, with a key of its own; its serial. An entry that gives it and is not there is made for that
  // moment alone, because nothing is issued by one that is gone.
  std::string Issue(Made made) {
    RegistrationEntry entry;
    entry.id = made.origin.reference;
    entry.spiffe_id = Id(made.path);
    entry.selectors = {absl::StrCat("unix:uid:", next_uid_++)};
    entry.created_at = clock.Now();
    AuditEntry audit;
    audit.time = clock.Now();
    const bool lent = made.origin.kind == OriginKind::kEntry && store.CreateEntry(entry, audit).ok();
    std::string serial = IssueBy(std::move(made));
    if (lent) {
      EXPECT_THAT(store.DeleteEntry(entry.id, audit), IsOk());
    }
    return serial;
  }
  std::string IssueBy(Made made) {
    const auto fresh = *SoftwareKey::Generate(KeyType::kEcP256);
    SubmittedRequest request;
    request.caller = Caller(made.path);
    request.caller.node = made.node;
    request.caller.origin = made.origin;
    request.csr = PemEncode(kPemCertificateRequest, MakeCsr(*fresh, {{Id(made.path).uri()}, {}, {}, false})).text();
    std::string serial;
    Mutex mutex;
    CondVar done;
    bool finished = false;
    pipeline->Submit(std::move(request), [&](absl::StatusOr<IssuedCertificate> issued) {
      MutexLock lock(mutex);
      EXPECT_THAT(issued, IsOk());
      if (issued.ok()) serial = issued->record->serial.ToHex();
      finished = true;
      done.NotifyAll();
    });
    MutexLock lock(mutex);
    while (!finished) done.Wait(mutex);
    return serial;
  }

  void MakeEntry(const std::string& id, const std::string& path) {
    v1::CreateEntryRequest request;
    request.mutable_entry()->set_id(id);
    request.mutable_entry()->set_spiffe_id(Id(path).uri());
    request.mutable_entry()->add_selectors(absl::StrCat("unix:uid:", next_uid_++));
    EXPECT_THAT(CreateEntry(context, kActor, request), IsOk());
  }

  // Everything that the store says of its certificates, and its audit log.
  std::vector<std::string> Everything() {
    std::vector<std::string> all;
    EXPECT_THAT(ListCertificates(context, kActor, v1::ListCertificatesRequest(),
                                 [&](const v1::CertificateRecord& record) {
                                   all.push_back(record.ShortDebugString());
                                   return true;
                                 }),
                IsOk());
    EXPECT_THAT(store.ListAudit([&](const AuditEntry& entry) {
      all.push_back(absl::StrCat(entry.action, " ", entry.target));
      return true;
    }),
                IsOk());
    return all;
  }

  std::vector<std::string> RevokedSerials() {
    v1::ListCertificatesRequest filter;
    filter.set_revoked_only(true);
    std::vector<std::string> serials;
    EXPECT_THAT(ListCertificates(context, kActor, filter,
                                 [&](const v1::CertificateRecord& record) {
                                   serials.push_back(record.serial());
                                   return true;
                                 }),
                IsOk());
    return serials;
  }

  AdminContext context = Context();
  int next_uid_ = 1000;  // no two entries of one ID have the same selectors
};

v1::RevokeCertificatesRequest BySerial(const std::string& serial) {
  v1::RevokeCertificatesRequest request;
  request.set_serial(serial);
  return request;
}

v1::RevokeCertificatesRequest ByGlob(const std::string& glob) {
  v1::RevokeCertificatesRequest request;
  request.set_spiffe_id_glob(glob);
  return request;
}

TEST_F(AdminRevocationTest, EachSelectionFindsItsCertificates) {
  const Origin entry{OriginKind::kEntry, "web-1"};
  const std::string web = Issue({"/ns/default/sa/web", "node-1", entry});
  const std::string api = Issue({"/ns/default/sa/api", "node-2", entry});
  const std::string other = Issue({"/ns/prod/sa/db", "node-2"});
  const auto serials = [&](v1::RevokeCertificatesRequest request) {
    request.set_dry_run(true);
    const auto response = RevokeCertificates(context, kActor, request);
    EXPECT_THAT(response, IsOk());
    std::vector<std::string> found;
    for (const v1::CertificateRecord& record : response->records()) found.push_back(record.serial());
    EXPECT_EQ(response->certificates(), found.size());
    EXPECT_EQ(response->lines(), found.size());
    EXPECT_TRUE(response->dry_run());
    return found;
  };
  EXPECT_THAT(serials(BySerial(web)), ElementsAre(web));
  EXPECT_THAT(serials(BySerial(absl::AsciiStrToUpper(web))), ElementsAre(web));
  EXPECT_THAT(serials(ByGlob("spiffe://cluster.local/ns/default/*")), ElementsAre(web, api));
  v1::RevokeCertificatesRequest request;
  request.set_node("node-2");
  EXPECT_THAT(serials(request), ElementsAre(api, other));
  request.Clear();
  request.set_entry_id("web-1");
  EXPECT_THAT(serials(request), ElementsAre(web, api));
  request.Clear();
  request.set_authority_id_prefix(absl::AsciiStrToUpper(manager->Current()->issuing->id.substr(0, 8)));
  EXPECT_THAT(serials(request), ElementsAre(web, api, other));
}

TEST_F(AdminRevocationTest, ADryRunChangesNothing) {
  Issue({});
  Issue({"/ns/default/sa/api"});
  const std::vector<std::string> before = Everything();
  v1::RevokeCertificatesRequest request = ByGlob("*");
  request.set_dry_run(true);
  const auto response = RevokeCertificates(context, kActor, request);
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->certificates(), 2u);
  EXPECT_EQ(Everything(), before);
  EXPECT_EQ(judgements, 0);
  EXPECT_EQ(subscribers.drops, 0u);
  EXPECT_EQ(counted_revoked, 0u);
}

TEST_F(AdminRevocationTest, ARevocationIsAuditedAndEverybodyIsJudgedAgain) {
  const std::string web = Issue({}), api = Issue({"/ns/default/sa/api"});
  subscribers.keys_dropped = 3;
  v1::RevokeCertificatesRequest request = BySerial(web);
  request.set_reason("KEYcompromise");
  clock.Advance(absl::Minutes(1));
  const auto response = RevokeCertificates(context, kActor, request);
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->certificates(), 1u);
  EXPECT_EQ(response->lines(), 1u);
  EXPECT_EQ(response->keys_dropped(), 3u);
  EXPECT_FALSE(response->dry_run());
  EXPECT_EQ(judgements, 1);
  EXPECT_EQ(subscribers.drops, 1u);
  EXPECT_EQ(counted_revoked, 1u);
  EXPECT_THAT(RevokedSerials(), ElementsAre(web));

  AuditEntry last;
  EXPECT_THAT(store.ListAudit([&](const AuditEntry& entry) {
    last = entry;
    return true;
  }),
              IsOk());
  EXPECT_EQ(last.action, "certificate.revoke");
  EXPECT_EQ(last.actor, kActor);
  EXPECT_EQ(last.target, absl::StrCat("serial ", web));
  EXPECT_THAT(last.detail, AllOf(HasSubstr("keyCompromise"), HasSubstr("1")));

  v1::GetCertificateRequest get;
  get.set_serial(web);
  const auto record = GetCertificate(context, kActor, get);
  ASSERT_THAT(record, IsOk());
  EXPECT_EQ(ToTime(record->revoked_at()), clock.Now());
  EXPECT_EQ(record->revocation_reason(), "keyCompromise");
  EXPECT_EQ(record->origin_kind(), "jwt-issuer");
  EXPECT_EQ(record->origin_reference(), "https://issuer.test");
  get.set_serial(api);
  EXPECT_FALSE(GetCertificate(context, kActor, get)->has_revoked_at());
  EXPECT_EQ(GetCertificate(context, kActor, get)->revocation_reason(), "");
}

TEST_F(AdminRevocationTest, WhatStillGivesTheIdentityIsNamed) {
  MakeEntry("web-old", "/ns/default/sa/web");
  MakeEntry("web-new", "/ns/default/sa/web");
  MakeEntry("db", "/ns/prod/sa/db");
  Issue({"/ns/default/sa/web", "", {OriginKind::kEntry, "web-old"}});
  Issue({"/ns/default/sa/web", "", {OriginKind::kJwtIssuer, "https://issuer.test"}});
  Issue({"/ns/default/sa/web", "", {OriginKind::kJwtIssuer, "https://issuer.test"}});
  for (const char* pod : {"pod-1", "pod-2"}) {
    Issue({"/ns/default/sa/web", "", PodOrigin{"default", "web", "account", pod, "https://k8s.test"}.ToOrigin()});
  }
  Issue({"/ns/default/sa/web", "", {OriginKind::kOperator, "uid 0"}});
  Issue({"/ns/default/sa/api", "", {OriginKind::kEntry, "deleted"}});
  const auto response = RevokeCertificates(context, kActor, ByGlob("spiffe://cluster.local/ns/default/*"));
  ASSERT_THAT(response, IsOk());
  std::vector<std::string> standing;
  for (const v1::StandingRight& right : response->standing()) {
    standing.push_back(absl::StrCat(right.origin_kind(), " ", right.origin_reference(), " ", right.spiffe_id()));
  }
  const std::string web = Id("/ns/default/sa/web").uri();
  EXPECT_THAT(standing, UnorderedElementsAre(absl::StrCat("entry web-old ", web), absl::StrCat("entry web-new ", web),
                                             absl::StrCat("jwt-issuer https://issuer.test ", web),
                                             absl::StrCat("pod of service account default/web ", web)));
}

TEST_F(AdminRevocationTest, NothingToRevokeSaysWhy) {
  const std::string web = Issue({});
  EXPECT_THAT(RevokeCertificates(context, kActor, BySerial(web)), IsOk());
  EXPECT_THAT(RevokeCertificates(context, kActor, BySerial(web)),
              StatusIs(kNotFound, AllOf(HasSubstr(absl::StrCat("certificate ", web, " was revoked already, at ")),
                                        HasSubstr("UTC (unspecified)"))));
  const std::string unknown = std::string(31, '1') + "2";
  EXPECT_THAT(RevokeCertificates(context, kActor, BySerial(unknown)),
              StatusIs(kNotFound, HasSubstr(absl::StrCat("no certificate with serial ", unknown,
                                                         " is recorded; `meshca cert list` shows all"))));
  EXPECT_THAT(RevokeCertificates(context, kActor, ByGlob("spiffe://cluster.local/ns/*")),
              StatusIs(kNotFound,
                       "no live certificate with an identity that fits \"spiffe://cluster.local/ns/*\" is "
                       "left to revoke; `meshca cert list --live --id 'spiffe://cluster.local/ns/*'` shows "
                       "those there are"));
  v1::RevokeCertificatesRequest request;
  request.set_node("node-9");
  EXPECT_THAT(RevokeCertificates(context, kActor, request),
              StatusIs(kNotFound, HasSubstr("no live certificate of node \"node-9\" is left to revoke")));
  request.Clear();
  request.set_entry_id("nobody");
  EXPECT_THAT(RevokeCertificates(context, kActor, request),
              StatusIs(kNotFound, HasSubstr("no live certificate that came from entry \"nobody\" is left to revoke")));
  const std::string ended = Issue({"/ns/default/sa/api"});
  clock.Advance(absl::Hours(25));
  EXPECT_THAT(RevokeCertificates(context, kActor, BySerial(ended)),
              StatusIs(kNotFound, HasSubstr(absl::StrCat("certificate ", ended, " ended at "))));
  EXPECT_EQ(judgements, 7) << "a call before this one may have been committed and then failed to tell the others";
}

struct BadRevocation {
  std::string name;
  std::string serial, glob, issuer, node, entry, reason;
  std::string words;
};
class AdminRefusesRevocation : public AdminRevocationTest, public testing::WithParamInterface<BadRevocation> {};
TEST_P(AdminRefusesRevocation, InvalidArgument) {
  Issue({});
  const std::vector<std::string> before = Everything();
  v1::RevokeCertificatesRequest request;
  request.set_serial(GetParam().serial);
  request.set_spiffe_id_glob(GetParam().glob);
  request.set_authority_id_prefix(GetParam().issuer == "ROOT" ? manager->Current()->issuing->root_id
                                                              : GetParam().issuer);
  request.set_node(GetParam().node);
  request.set_entry_id(GetParam().entry);
  request.set_reason(GetParam().reason);
  EXPECT_THAT(RevokeCertificates(context, kActor, request), StatusIs(kInvalid, HasSubstr(GetParam().words)));
  EXPECT_EQ(Everything(), before);
  EXPECT_EQ(judgements, 0);
}
INSTANTIATE_TEST_SUITE_P(
    Rules, AdminRefusesRevocation,
    testing::Values(BadRevocation{"Nothing", "", "", "", "", "", "", "exactly one of serial"},
                    BadRevocation{"SerialAndId", "aa", "*", "", "", "", "", "exactly one of serial"},
                    BadRevocation{"NodeAndEntry", "", "", "", "n", "e", "", "exactly one of serial"},
                    BadRevocation{"NoSerial", "12:34", "", "", "", "", "", "serial \"12:34\""},
                    BadRevocation{"ShortIssuer", "", "", "abc", "", "", "", "at least 8"},
                    BadRevocation{"IssuerIsNoHex", "", "", "root-of-all", "", "", "", "not hexadecimal"},
                    BadRevocation{"IssuerIsARoot", "", "", "ROOT", "", "", "", "is a root, which signs no workload's"},
                    BadRevocation{"Reason", "", "*", "", "", "", "theft", "keyCompromise"}),
    [](const auto& info) { return info.param.name; });

TEST_F(AdminRevocationTest, AThousandRecordsAreNamedAndAllAreRevoked) {
  const std::string signer = manager->Current()->issuing->id;
  for (int i = 0; i < 1001; ++i) {
    IssuanceRecord record;
    record.serial = SerialNumber::Make(clock.Now(), SystemEntropy());
    record.spiffe_id = Id("/ns/default/sa/web");
    record.key_sha256 = record.certificate_sha256 = std::string(28, 'h') + absl::StrCat(1000 + i);
    record.authority_id = signer;
    record.not_before = record.issued_at = clock.Now();
    record.not_after = clock.Now() + absl::Hours(1);
    store.Append(std::move(record), [](absl::Status status) { EXPECT_THAT(status, IsOk()); });
  }
  const auto response = RevokeCertificates(context, kActor, ByGlob("*"));
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->certificates(), 1001u);
  EXPECT_EQ(response->records_size(), 1000);
  EXPECT_EQ(RevokedSerials().size(), 1001u);
  EXPECT_THAT(response->standing(), IsEmpty());
}

}  // namespace
}  // namespace meshca::admin_methods
