// A CA in memory, with an authority, a pipeline and an admin context on it.
#ifndef MESHCA_TEST_CA_SERVICE_SERVICE_FIXTURE_H_
#define MESHCA_TEST_CA_SERVICE_SERVICE_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ca/authn/authenticator.h"
#include "ca/authority/authority_manager.h"
#include "ca/base/entropy.h"
#include "ca/base/log.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/service/admin_context.h"
#include "test/ca/issuance/test_ca.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/fake_key_store.h"
#include "test/fakes/memory_store.h"
#include "test/fakes/temp_folder.h"

namespace meshca {

inline constexpr char kActor[] = "uid 0 pid 1";
inline constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// Subscribers as a test sets them; remembers what was renewed.
class FakeSubscribers final : public LiveSubscribers {
 public:
  std::vector<SubscriberRecord> records;
  uint64_t drops = 0;         // calls of DropRevoked
  uint64_t keys_dropped = 0;  // what it answers

  uint64_t DropRevoked() override {
    ++drops;
    return keys_dropped;
  }
  absl::StatusOr<std::vector<SubscriberRecord>> List() override { return records; }
  absl::StatusOr<Evicted> Evict(const std::function<bool(const SubscriberRecord&)>& chosen) override {
    Evicted evicted;
    for (SubscriberRecord& record : records) {
      if (record.evicted_at != absl::InfiniteFuture() || !chosen(record)) continue;
      record.evicted_at = absl::FromUnixSeconds(1767323045);
      if (std::exchange(record.connected, false)) ++evicted.ended;
      evicted.records.push_back(record);
    }
    return evicted;
  }
  std::vector<std::string> Renew(const Wanted& wanted) override {
    std::vector<std::string> ids;
    for (const SubscriberRecord& record : records) {
      if (record.connected && wanted(record.spiffe_id, record.serial)) ids.push_back(record.spiffe_id);
    }
    return ids;
  }
};

// Says what the test wants of every caller.
class FakeAuthenticator final : public Authenticator {
 public:
  absl::StatusOr<CallerIdentity> answer = absl::UnauthenticatedError("no credential");
  Credentials seen;

  absl::string_view name() const override { return "fake"; }
  bool Recognises(const Credentials&) const override { return true; }
  void Authenticate(Credentials credentials, absl::Time, Done done) override {
    seen = std::move(credentials);
    std::move(done)(answer);
  }
};

class ServiceTest : public testing::Test {
 protected:
  ServiceTest() {
    SetLogLevel(LogLevel::kError);
    AuthorityOptions options;
    options.trust_domain = domain;
    manager = *AuthorityManager::Create(options, store, keys, clock, SystemEntropy());
    const absl::Status started = manager->Start();
    MESHCA_CHECK(started.ok());
    pipeline =
        std::make_unique<IssuancePipeline>(CertificateProfile(), OneThread(), *manager, store, clock, SystemEntropy());
  }
  ~ServiceTest() override { pipeline->Shutdown(); }

  static PipelineOptions OneThread() {
    PipelineOptions options;
    options.threads = 1;
    return options;
  }

  AdminContext Context() {
    AdminContext context{clock, SystemEntropy(), *manager, store, store, store, store, store, store, subscribers};
    context.facts.version = "9.9";
    context.facts.trust_domain = domain;
    context.facts.state_dir = folder.path();
    context.facts.started_at = clock.Now();
    context.listeners = [] { return std::vector<std::pair<std::string, std::string>>{{"grpc", "127.0.0.1:15012"}}; };
    context.entry_applies = &store;
    context.nodes = &store;
    context.entries_changed = [this] {
      ++entry_changes;
      return absl::OkStatus();
    };
    context.judge_connections = [this] { ++judgements; };
    context.count_revoked = [this](uint64_t certificates) { counted_revoked += certificates; };
    return context;
  }

  CallerIdentity Caller(absl::string_view path = "/ns/default/sa/web") const {
    CallerIdentity caller;
    caller.method = AuthMethod::kJwt;
    caller.subject = "jwt test sub=web";
    caller.ids = {Id(path)};
    return caller;
  }

  std::string Csr(absl::string_view path = "/ns/default/sa/web") {
    return PemEncode(kPemCertificateRequest, MakeCsr(*key, {{Id(path).uri()}, {}, {}, false})).text();
  }

  TempFolder folder;
  FakeClock clock;
  MemoryStore store;
  const TrustDomain domain = *TrustDomain::Parse("cluster.local");
  FakeKeyStore keys;
  const std::unique_ptr<SoftwareKey> key = *SoftwareKey::Generate(KeyType::kEcP256);
  std::unique_ptr<AuthorityManager> manager;
  std::unique_ptr<IssuancePipeline> pipeline;
  FakeSubscribers subscribers;
  int entry_changes = 0;
  int judgements = 0;
  uint64_t counted_revoked = 0;
};

}  // namespace meshca

#endif  // MESHCA_TEST_CA_SERVICE_SERVICE_FIXTURE_H_
