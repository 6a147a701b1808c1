// What a thief of authority keys can build, and that it opens nothing: every forged chain in every phase of a rotation.
#include <gmock/gmock.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ca/authn/client_certificate.h"
#include "ca/authority/authority_standing.h"
#include "ca/base/entropy.h"
#include "ca/base/status.h"
#include "ca/x509/authority_builder.h"
#include "ca/x509/chain_verifier.h"
#include "test/ca/x509/test_files.h"
#include "test/fakes/memory_store.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using Extensions = std::vector<std::pair<std::string, std::string>>;
using Chain = std::vector<Certificate>;

constexpr char kWeb[] = "spiffe://cluster.local/ns/default/sa/web";

Extensions LeafExtensions(const std::string& id, const std::string& aki = "keyid") {
  Extensions list = {{"basicConstraints", "critical,CA:FALSE"},
                     {"keyUsage", "critical,digitalSignature"},
                     {"extendedKeyUsage", "serverAuth,clientAuth"},
                     {"subjectAltName", absl::StrCat("URI:", id)}};
  if (!aki.empty()) list.emplace_back("authorityKeyIdentifier", aki);
  return list;
}

Extensions AuthorityExtensions(const std::string& constraints = "critical,CA:TRUE") {
  return {{"basicConstraints", constraints},
          {"keyUsage", "critical,keyCertSign,cRLSign"},
          {"subjectKeyIdentifier", "hash"},
          {"authorityKeyIdentifier", "keyid"}};
}

// AuthorityKeyIdentifier that names the key of `authority`, whoever signs.
std::string AkiOf(const Certificate& authority) {
  return absl::StrCat("DER:30168014", absl::BytesToHexString(authority.fields().subject_key_id));
}

// The one RDN of meshca's authorities, as Make wants it.
std::string CommonName(const Certificate& authority) { return authority.subject().substr(3); }

// The mesh before and after: root O with its issuing authority, whose keys are stolen; an issuing authority that was
// retired, stolen long ago; root N, which replaces O, with its own. One honest leaf, recorded.
struct Mesh {
  TestAuthorities old_ca = NewAuthorities();
  TestAuthorities new_ca = NewAuthorities();
  std::unique_ptr<SoftwareKey> retired_key = NewKey();
  Certificate retired = *BuildIssuing(TestDomain(), retired_key->public_key(), old_ca.root, *old_ca.root_key, TestNow(),
                                      absl::Hours(24 * 30), SystemEntropy());
  Certificate cross =
      *BuildCrossCertificate(TestDomain(), new_ca.root, old_ca.root, *old_ca.root_key, TestNow(), SystemEntropy());
  std::unique_ptr<SoftwareKey> honest_key = NewKey();
  std::unique_ptr<SoftwareKey> thief_key = NewKey();     // of the leaves he makes
  std::unique_ptr<SoftwareKey> thief_ca_key = NewKey();  // of the authorities he makes
  const SerialNumber honest_serial = SerialNumber::Make(TestNow(), SystemEntropy());
  Certificate honest = Make({.subject = "web",
                             .serial_hex = honest_serial.ToHex(),
                             .issuer = &old_ca.issuing,
                             .signer = old_ca.issuing_key.get(),
                             .key = honest_key.get(),
                             .extensions = LeafExtensions(kWeb)});

  // A leaf with the thief's own key.
  Certificate Leaf(const Certificate& issuer, const SoftwareKey& signer, const std::string& id = kWeb,
                   const std::string& aki = "keyid") const {
    return Make({.subject = "web",
                 .issuer = &issuer,
                 .signer = &signer,
                 .key = thief_key.get(),
                 .extensions = LeafExtensions(id, aki)});
  }
  // An authority with the thief's own key, and whatever name.
  Certificate Authority(const std::string& name, const Certificate* issuer, const SoftwareKey& signer,
                        const std::string& constraints = "critical,CA:TRUE") const {
    return Make({.subject = name,
                 .issuer = issuer,
                 .signer = &signer,
                 .key = thief_ca_key.get(),
                 .extensions = AuthorityExtensions(constraints)});
  }
};

struct ForgedChain {
  std::string name;
  std::function<Chain(const Mesh&)> make;
};

const std::vector<ForgedChain>& ForgedChains() {
  static const auto* chains = new std::vector<ForgedChain>{
      {"ByTheStolenIssuingKey",
       [](const Mesh& m) {
         return Chain{m.Leaf(m.old_ca.issuing, *m.old_ca.issuing_key), m.old_ca.issuing};
       }},
      {"ByTheStolenRootKeyItself", [](const Mesh& m) { return Chain{m.Leaf(m.old_ca.root, *m.old_ca.root_key)}; }},
      {"LeafWithoutAuthorityKeyIdentifier",
       [](const Mesh& m) {
         return Chain{m.Leaf(m.old_ca.issuing, *m.old_ca.issuing_key, kWeb, ""), m.old_ca.issuing};
       }},
      {"AuthorityKeyIdentifierOfTheNewIssuing",
       [](const Mesh& m) {
         return Chain{m.Leaf(m.old_ca.issuing, *m.old_ca.issuing_key, kWeb, AkiOf(m.new_ca.issuing)), m.old_ca.issuing};
       }},
      {"UnderACaThatTheStolenRootSigned",
       [](const Mesh& m) {
         const Certificate ca = m.Authority("honest looking", &m.old_ca.root, *m.old_ca.root_key);
         return Chain{m.Leaf(ca, *m.thief_ca_key), ca};
       }},
      {"UnderACaThatTheStolenRootSignedWithoutAuthorityKeyIdentifier",
       [](const Mesh& m) {
         const Certificate ca = m.Authority("honest looking", &m.old_ca.root, *m.old_ca.root_key);
         return Chain{m.Leaf(ca, *m.thief_ca_key, kWeb, ""), ca, m.old_ca.root};
       }},
      {"UnderACaWithTheNewIssuingsName",
       [](const Mesh& m) {
         const Certificate ca = m.Authority(CommonName(m.new_ca.issuing), &m.old_ca.root, *m.old_ca.root_key);
         return Chain{m.Leaf(ca, *m.thief_ca_key, kWeb, ""), ca, m.new_ca.issuing, m.new_ca.root};
       }},
      {"UnderASubordinateOfTheIssuingAuthority",
       [](const Mesh& m) {
         const Certificate ca = m.Authority("below", &m.old_ca.issuing, *m.old_ca.issuing_key);
         return Chain{m.Leaf(ca, *m.thief_ca_key), ca, m.old_ca.issuing};
       }},
      {"UnderASubordinateThatIsNoCa",
       [](const Mesh& m) {
         const Certificate ca = m.Authority("below", &m.old_ca.issuing, *m.old_ca.issuing_key, "critical,CA:FALSE");
         return Chain{m.Leaf(ca, *m.thief_ca_key), ca, m.old_ca.issuing};
       }},
      {"UnderASelfIssuedTwinOfTheIssuingAuthority",
       [](const Mesh& m) {
         const Certificate twin = m.Authority(CommonName(m.old_ca.issuing), &m.old_ca.issuing, *m.old_ca.issuing_key);
         return Chain{m.Leaf(twin, *m.thief_ca_key, kWeb, ""), twin, m.old_ca.issuing};
       }},
      {"UnderARootOfTheNewRootsName",
       [](const Mesh& m) {
         const Certificate root = m.Authority(CommonName(m.new_ca.root), nullptr, *m.thief_ca_key);
         return Chain{m.Leaf(root, *m.thief_ca_key, kWeb, ""), root};
       }},
      {"UnderACaOfTheNewRootsNameThatTheStolenRootSigned",
       [](const Mesh& m) {
         const Certificate ca = m.Authority(CommonName(m.new_ca.root), &m.old_ca.root, *m.old_ca.root_key);
         return Chain{m.Leaf(ca, *m.thief_ca_key, kWeb, ""), ca, m.cross, m.old_ca.root};
       }},
      {"WithTheSerialOfAnHonestLeaf",
       [](const Mesh& m) {
         return Chain{Make({.subject = "web",
                            .serial_hex = m.honest_serial.ToHex(),
                            .issuer = &m.old_ca.issuing,
                            .signer = m.old_ca.issuing_key.get(),
                            .key = m.thief_key.get(),
                            .extensions = LeafExtensions(kWeb)}),
                      m.old_ca.issuing};
       }},
      {"WithTheSerialOfAnHonestLeafAndAnotherId",
       [](const Mesh& m) {
         return Chain{Make({.subject = "web",
                            .serial_hex = m.honest_serial.ToHex(),
                            .issuer = &m.old_ca.issuing,
                            .signer = m.old_ca.issuing_key.get(),
                            .key = m.thief_key.get(),
                            .extensions = LeafExtensions("spiffe://cluster.local/ns/default/sa/other")}),
                      m.old_ca.issuing};
       }},
      {"WithSerialIdAndKeyOfAnHonestLeafSignedAgain",
       [](const Mesh& m) {
         return Chain{Make({.subject = "web",
                            .serial_hex = m.honest_serial.ToHex(),
                            .issuer = &m.old_ca.issuing,
                            .signer = m.old_ca.issuing_key.get(),
                            .key = m.honest_key.get(),
                            .extensions = LeafExtensions(kWeb)}),
                      m.old_ca.issuing};
       }},
      {"ForAnAdmin",
       [](const Mesh& m) {
         return Chain{m.Leaf(m.old_ca.issuing, *m.old_ca.issuing_key, "spiffe://cluster.local/meshca/admin/x"),
                      m.old_ca.issuing};
       }},
      {"ForTheCaItself",
       [](const Mesh& m) {
         return Chain{m.Leaf(m.old_ca.root, *m.old_ca.root_key, "spiffe://cluster.local/meshca/server")};
       }},
      {"WithTheCrossCertificateInIt",
       [](const Mesh& m) {
         return Chain{m.Leaf(m.old_ca.issuing, *m.old_ca.issuing_key, kWeb, ""), m.cross, m.new_ca.root,
                      m.old_ca.issuing, m.old_ca.root};
       }},
      {"ByAThiefWhoNamesTheNewRootAsIssuer",
       [](const Mesh& m) {
         return Chain{m.Leaf(m.new_ca.root, *m.thief_ca_key), m.cross, m.old_ca.root};
       }},
      {"ExpiredUnderTheIssuingAuthority",
       [](const Mesh& m) {
         return Chain{Make({.subject = "web",
                            .issuer = &m.old_ca.issuing,
                            .signer = m.old_ca.issuing_key.get(),
                            .key = m.thief_key.get(),
                            .extensions = LeafExtensions(kWeb),
                            .not_before = TestNow() - absl::Hours(3),
                            .not_after = TestNow() - absl::Hours(2)}),
                      m.old_ca.issuing};
       }},
      {"UnderACopyOfARetiredAuthority",
       [](const Mesh& m) {
         return Chain{m.Leaf(m.retired, *m.retired_key), m.retired};
       }},
      {"UnderARetiredAuthoritysKeyInANewCertificate",
       [](const Mesh& m) {
         const Certificate again = Make({.subject = "again",
                                         .issuer = &m.old_ca.root,
                                         .signer = m.old_ca.root_key.get(),
                                         .key = m.retired_key.get(),
                                         .extensions = AuthorityExtensions()});
         return Chain{m.Leaf(again, *m.retired_key, kWeb, ""), again};
       }},
      {"TwoIssuersOfOneNameTheForgedFirst",
       [](const Mesh& m) {
         const std::string name = CommonName(m.old_ca.issuing);
         const Certificate alone = m.Authority(name, nullptr, *m.thief_ca_key);
         const Certificate signed_too = m.Authority(name, &m.old_ca.root, *m.old_ca.root_key);
         return Chain{m.Leaf(m.old_ca.issuing, *m.thief_ca_key, kWeb, ""), alone, m.old_ca.issuing, signed_too};
       }},
      {"TwoIssuersOfOneNameTheForgedLast",
       [](const Mesh& m) {
         const Certificate signed_too = m.Authority(CommonName(m.old_ca.issuing), &m.old_ca.root, *m.old_ca.root_key);
         return Chain{m.Leaf(m.old_ca.issuing, *m.thief_ca_key, kWeb, ""), m.old_ca.issuing, m.old_ca.root, signed_too};
       }},
      {"TheHonestLeafWithoutItsIssuer",
       [](const Mesh& m) {
         return Chain{m.new_ca.issuing, m.honest};
       }},
  };
  return *chains;
}

enum class Phase { kSteady, kTainted, kDistribute, kActivate, kRetired };

// Authorities and bundle as they are in each phase of an emergency rotation from O to N.
std::shared_ptr<const AuthoritySnapshot> SnapshotOf(const Mesh& m, Phase phase) {
  auto snapshot = std::make_shared<AuthoritySnapshot>();
  const auto add = [&](const Certificate& certificate, AuthorityRole role, AuthorityState state,
                       const Certificate& root, bool tainted) {
    SigningAuthority row;
    row.id = certificate.spki_sha256_hex();
    row.role = role;
    row.state = state;
    row.tainted = tainted;
    row.certificate = certificate;
    row.root_id = root.spki_sha256_hex();
    snapshot->authorities.push_back(std::move(row));
  };
  const bool activated = phase >= Phase::kActivate;
  const AuthorityState old_state = phase == Phase::kRetired ? AuthorityState::kRetired
                                   : activated              ? AuthorityState::kOld
                                                            : AuthorityState::kActive;
  const bool tainted = phase >= Phase::kTainted;
  add(m.old_ca.root, AuthorityRole::kRoot, old_state, m.old_ca.root, tainted);
  add(m.old_ca.issuing, AuthorityRole::kIssuing, old_state, m.old_ca.root, tainted);
  add(m.retired, AuthorityRole::kIssuing, AuthorityState::kRetired, m.old_ca.root, tainted);
  std::vector<Certificate> roots = {m.old_ca.root};
  if (phase >= Phase::kDistribute) {
    const AuthorityState new_state = activated ? AuthorityState::kActive : AuthorityState::kPrepared;
    add(m.new_ca.root, AuthorityRole::kRoot, new_state, m.new_ca.root, false);
    add(m.new_ca.issuing, AuthorityRole::kIssuing, new_state, m.new_ca.root, false);
    roots.push_back(m.new_ca.root);
  }
  if (phase == Phase::kRetired) roots = {m.new_ca.root};
  snapshot->bundle = std::make_shared<TrustBundle>(TrustBundle{TestDomain(), 1, std::move(roots)});
  return snapshot;
}

class FixedSnapshot final : public AuthoritySnapshots {
 public:
  explicit FixedSnapshot(std::shared_ptr<const AuthoritySnapshot> snapshot) : snapshot_(std::move(snapshot)) {}
  std::shared_ptr<const AuthoritySnapshot> Current() const override { return snapshot_; }
  void AddListener(Listener) override {}

 private:
  const std::shared_ptr<const AuthoritySnapshot> snapshot_;
};

IssuanceRecord RecordOf(const Mesh& m, const SerialNumber& serial) {
  IssuanceRecord record;
  record.serial = serial;
  record.spiffe_id = *SpiffeId::Parse(kWeb);
  record.authority_id = m.old_ca.issuing.spki_sha256_hex();
  record.not_before = TestNow() - absl::Hours(1);
  record.not_after = TestNow() + absl::Hours(24);
  record.issued_at = TestNow();
  record.key_sha256 = std::string(32, 'k');
  record.certificate_sha256 = std::string(32, 'c');
  record.method = AuthMethod::kServerUser;
  record.caller = "uid 0";
  record.origin = {OriginKind::kOperator, "uid 0"};
  return record;
}

absl::Status AppendTo(MemoryStore& store, const IssuanceRecord& record) {
  absl::Status result = absl::UnknownError("not done");
  store.Append(record, [&result](absl::Status status) { result = std::move(status); });
  return result;
}

// The inventory with the honest leaf in it, and authorities that sign.
void Fill(MemoryStore& store, const Mesh& m) {
  AuthorityChange change;
  change.trust_domain = TestDomain().name();
  StoredAuthority row;
  row.id = m.old_ca.issuing.spki_sha256_hex();
  row.state = AuthorityState::kActive;
  row.root_id = m.old_ca.root.spki_sha256_hex();
  row.chain_der = {m.old_ca.issuing.der().bytes()};
  row.created_at = TestNow();
  change.authorities = {row};
  change.bundle = StoredBundle{1, {m.old_ca.root.der().bytes()}, TestNow()};
  AuditEntry audit;
  audit.time = TestNow();
  audit.actor = "test";
  audit.action = "authority.create";
  change.audit = {audit};
  ASSERT_THAT(store.CommitAuthorities(change), IsOk());
  IssuanceRecord record = RecordOf(m, m.honest_serial);
  record.certificate_sha256 = m.honest.sha256();
  record.key_sha256 = std::string(m.honest.public_key().sha256());
  ASSERT_THAT(AppendTo(store, record), IsOk());
}

// What a caller with this chain meets, from the handshake to the store.
struct Way {
  absl::Status verified;  // the handshake
  absl::Status standing;  // each call
  absl::Status served;    // whatever issues nothing, SDS and ROOTCA for instance
  absl::Status issued;    // a new certificate, in the store's transaction

  bool anything() const { return verified.ok() && standing.ok() && (served.ok() || issued.ok()); }
};

Way Try(const Chain& chain, std::shared_ptr<const AuthoritySnapshot> snapshot, MemoryStore& store, const Mesh& m) {
  Way way;
  std::vector<absl::string_view> der;
  for (const Certificate& certificate : chain) der.push_back(certificate.der().bytes());
  const ChainVerifier verifier(TestDomain(), snapshot->bundle->roots);
  const absl::StatusOr<VerifiedPeer> peer = verifier.Verify(der, TestNow());
  way.verified = peer.status();
  if (!peer.ok()) return way;
  const FixedSnapshot authorities(std::move(snapshot));
  const AuthorityStanding standing(authorities);
  const absl::StatusOr<CallerIdentity> caller =
      ClientCertificateAuthenticator(TestDomain(), standing).Judge(*peer, TestNow());
  way.standing = caller.status();
  if (!caller.ok()) return way;
  way.served = store.JudgePresented(*caller->presented, caller->trusted_origins).status();
  IssuanceRecord record = RecordOf(m, SerialNumber::Make(TestNow(), SystemEntropy()));
  record.spiffe_id = caller->ids.front();
  record.method = caller->method;
  record.caller = caller->subject;
  record.origin = {};
  record.parent_serial = caller->parent_serial;
  record.presented = caller->presented;
  record.trusted_origins = caller->trusted_origins;
  way.issued = AppendTo(store, record);
  return way;
}

struct PhaseName {
  Phase phase;
  const char* name;
};
constexpr PhaseName kPhases[] = {{Phase::kSteady, "steady"},
                                 {Phase::kTainted, "tainted"},
                                 {Phase::kDistribute, "distribute"},
                                 {Phase::kActivate, "activate"},
                                 {Phase::kRetired, "retired"}};

bool HonestIsUnreplaced(MemoryStore& store, const Mesh& m) {
  bool found = false;
  LeafQuery query;
  query.alive_at = TestNow();
  query.root_id = m.old_ca.root.spki_sha256_hex();
  EXPECT_THAT(store.VisitUnreplaced(query,
                                    [&](const LiveLeaf& leaf) {
                                      found |= leaf.serial == m.honest_serial.ToHex();
                                      return true;
                                    }),
              IsOk());
  return found;
}

class StolenAuthorityKey : public testing::TestWithParam<ForgedChain> {
 protected:
  StolenAuthorityKey() { Fill(store_, mesh_); }
  Mesh mesh_;
  MemoryStore store_;
};

TEST_P(StolenAuthorityKey, OpensNothingInAnyPhaseOfARotation) {
  const Chain chain = GetParam().make(mesh_);
  for (const PhaseName& phase : kPhases) {
    const Way way = Try(chain, SnapshotOf(mesh_, phase.phase), store_, mesh_);
    EXPECT_FALSE(way.anything()) << phase.name << ": served " << way.served << ", issued " << way.issued;
    EXPECT_TRUE(HonestIsUnreplaced(store_, mesh_)) << phase.name << ": a forged leaf took the honest one's place";
  }
}

// A restore or an adoption relaxes the rule, and a taint ends that for every path it is on.
TEST_P(StolenAuthorityKey, OpensNothingUnderATaintWhileRecordsMayBeMissing) {
  const Chain chain = GetParam().make(mesh_);
  for (const PhaseName& phase : kPhases) {
    if (phase.phase == Phase::kSteady) continue;
    AuthoritySnapshot snapshot = *SnapshotOf(mesh_, phase.phase);
    snapshot.unrecorded = UnrecordedGrace{TestNow() + absl::Hours(24), {}, "restored from a backup"};
    for (const SigningAuthority& authority : snapshot.authorities) {
      snapshot.unrecorded->authority_ids.push_back(authority.id);
    }
    const Way way = Try(chain, std::make_shared<const AuthoritySnapshot>(snapshot), store_, mesh_);
    EXPECT_FALSE(way.anything()) << phase.name << ": served " << way.served << ", issued " << way.issued;
  }
}

INSTANTIATE_TEST_SUITE_P(Chains, StolenAuthorityKey, testing::ValuesIn(ForgedChains()),
                         [](const auto& info) { return info.param.name; });

TEST(StolenAuthorityKeyBeside, TheHonestHolderIsServedUntilItsRootIsRetired) {
  const Mesh mesh;
  for (const PhaseName& phase : kPhases) {
    MemoryStore store;
    Fill(store, mesh);
    const Way way = Try({mesh.honest, mesh.old_ca.issuing}, SnapshotOf(mesh, phase.phase), store, mesh);
    if (phase.phase == Phase::kRetired) {
      EXPECT_FALSE(way.verified.ok());
      continue;
    }
    EXPECT_THAT(way.verified, IsOk()) << phase.name;
    EXPECT_THAT(way.standing, IsOk()) << phase.name;
    EXPECT_THAT(way.served, IsOk()) << phase.name;
    EXPECT_THAT(way.issued, IsOk()) << phase.name;
    EXPECT_FALSE(HonestIsUnreplaced(store, mesh)) << phase.name << ": its renewal stands in for it";
  }
}

// The table is worth something only where most of its chains pass the handshake: a chain that no verifier accepts
// proves nothing about what comes after.
TEST(StolenAuthorityKeyBeside, MostForgedChainsDoPassTheHandshakeOfTheOldRoot) {
  const Mesh mesh;
  int accepted = 0;
  for (const ForgedChain& forged : ForgedChains()) {
    MemoryStore store;
    Fill(store, mesh);
    accepted += Try(forged.make(mesh), SnapshotOf(mesh, Phase::kTainted), store, mesh).verified.ok() ? 1 : 0;
  }
  EXPECT_GE(accepted, 14) << "of " << ForgedChains().size();
}

// While records may be missing, an untainted path is believed without one. Not for who may change trust itself, and not
// where the inventory has the serial number for another certificate.
TEST(StolenAuthorityKeyBeside, WhileRecordsMayBeMissingReservedIdsAndKnownSerialsAreNotBelieved) {
  const Mesh mesh;
  AuthoritySnapshot snapshot = *SnapshotOf(mesh, Phase::kSteady);
  snapshot.unrecorded = UnrecordedGrace{TestNow() + absl::Hours(24),
                                        {mesh.old_ca.issuing.spki_sha256_hex(), mesh.old_ca.root.spki_sha256_hex()},
                                        "restored from a backup"};
  const auto shared = std::make_shared<const AuthoritySnapshot>(snapshot);
  for (const ForgedChain& forged : ForgedChains()) {
    if (forged.name.find("For") != 0 && forged.name.find("With") != 0) continue;
    if (forged.name == "WithTheCrossCertificateInIt") continue;
    MemoryStore store;
    Fill(store, mesh);
    const Way way = Try(forged.make(mesh), shared, store, mesh);
    ASSERT_THAT(way.standing, IsOk()) << forged.name;
    EXPECT_FALSE(way.anything()) << forged.name << ": served " << way.served << ", issued " << way.issued;
  }
  MemoryStore store;
  Fill(store, mesh);
  const Certificate lost = Make({.subject = "web",
                                 .serial_hex = SerialNumber::Make(TestNow(), SystemEntropy()).ToHex(),
                                 .issuer = &mesh.old_ca.issuing,
                                 .signer = mesh.old_ca.issuing_key.get(),
                                 .key = mesh.honest_key.get(),
                                 .extensions = LeafExtensions(kWeb)});
  EXPECT_TRUE(Try({lost, mesh.old_ca.issuing}, shared, store, mesh).anything()) << "whose record was lost may renew";
}

}  // namespace
}  // namespace meshca
