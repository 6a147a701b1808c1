// The issuer and the pipeline around it.
#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "ca/base/status.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/issuance/issuer.h"
#include "ca/x509/chain_verifier.h"
#include "ca/x509/digest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/issuance/test_ca.h"
#include "test/fakes/fake_clock.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

using Result = absl::StatusOr<IssuedCertificate>;

// Happens once. Not absl::Notification: ThreadSanitizer cannot see into the prebuilt Abseil.
class Event {
 public:
  void Set() {
    MutexLock lock(mutex_);
    set_ = true;
    changed_.NotifyAll();
  }
  void Wait() {
    MutexLock lock(mutex_);
    while (!set_) changed_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool set_ ABSL_GUARDED_BY(mutex_) = false;
};

const SoftwareKey& Key() {
  static const SoftwareKey* key = SoftwareKey::Generate(KeyType::kEcP256)->release();
  return *key;
}

IssuanceRequest Judged() { return *JudgeRequest(WebRequest(Key()), TestDomain()); }

// --- Issuer --------------------------------------------------------------------------------------------------------

TEST(Issuer, SignsWhatItPromises) {
  const FakeClock clock;
  const auto snapshot = NewSnapshot(clock.Now());
  const Issuer issuer(CertificateProfile(), SystemEntropy());
  IssuanceRequest request = Judged();
  request.lifetime = absl::Hours(1);
  request.dns_names = {"web.default.svc"};
  const absl::StatusOr<SignedLeaf> signed_leaf = issuer.Issue(request, *snapshot->issuing, clock.Now());
  ASSERT_TRUE(signed_leaf.ok()) << signed_leaf.status();
  const Certificate leaf = *signed_leaf->chain.ParseLeaf();
  EXPECT_EQ(leaf.spiffe_id()->uri(), "spiffe://cluster.local/ns/default/sa/web");
  EXPECT_EQ(leaf.fields().dns_names, request.dns_names);
  EXPECT_EQ(leaf.validity().not_before, clock.Now() - absl::Minutes(2));
  EXPECT_EQ(leaf.validity().not_after, clock.Now() + absl::Hours(1));
  EXPECT_EQ(leaf.public_key(), Key().public_key());
  EXPECT_TRUE(CertificateChain::Make({leaf, snapshot->issuing->certificate}).ok());
  EXPECT_EQ(signed_leaf->chain.issuers().front(), snapshot->issuing->certificate);

  const IssuanceRecord& record = *signed_leaf->record;
  EXPECT_EQ(record.serial, leaf.serial());
  EXPECT_EQ(record.spiffe_id, *leaf.spiffe_id());
  EXPECT_EQ(record.key_sha256, Key().public_key().sha256());
  EXPECT_EQ(record.certificate_sha256, leaf.sha256());
  EXPECT_EQ(record.authority_id, snapshot->issuing->id);
  EXPECT_EQ(record.not_after, leaf.validity().not_after);
  EXPECT_EQ(record.issued_at, clock.Now());
  EXPECT_EQ(record.method, AuthMethod::kJwt);
  EXPECT_EQ(record.caller, "jwt test sub=web");
  EXPECT_EQ(record.instance, "instance-1");
  EXPECT_EQ(record.node, "node-1");

  const std::vector<absl::string_view> chain = {signed_leaf->chain.leaf().bytes(),
                                                snapshot->issuing->certificate.der().bytes()};
  EXPECT_TRUE(ChainVerifier(TestDomain(), snapshot->bundle->roots).Verify(chain, clock.Now()).ok());
}

TEST(Issuer, ALeafNeverOutlivesItsAuthority) {
  const FakeClock clock;
  const auto snapshot = NewSnapshot(clock.Now());
  const absl::Time end = snapshot->issuing->certificate.validity().not_after;
  const Issuer issuer(CertificateProfile(), SystemEntropy());
  const absl::StatusOr<SignedLeaf> leaf = issuer.Issue(Judged(), *snapshot->issuing, end - absl::Hours(1));
  ASSERT_TRUE(leaf.ok()) << leaf.status();
  EXPECT_EQ(leaf->record->not_after, end);
}

TEST(Issuer, RefusesByProfileAndAuthority) {
  const FakeClock clock;
  const auto snapshot = NewSnapshot(clock.Now());
  CertificateProfile only_ed25519;
  only_ed25519.key_types = {KeyType::kEd25519};
  const absl::Status key =
      Issuer(only_ed25519, SystemEntropy()).Issue(Judged(), *snapshot->issuing, clock.Now()).status();
  EXPECT_EQ(key.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(key), "KEY_TYPE");
  EXPECT_THAT(std::string(key.message()), HasSubstr("ec-p256 is not among the key types allowed"));

  const Issuer issuer(CertificateProfile(), SystemEntropy());
  SigningAuthority old = *snapshot->issuing;
  old.state = AuthorityState::kOld;
  SigningAuthority keyless = *snapshot->issuing;
  keyless.key = nullptr;
  for (const auto& [authority, now, words] : std::vector<std::tuple<SigningAuthority, absl::Time, const char*>>{
           {old, clock.Now(), "is old, not active"},
           {keyless, clock.Now(), "private key is not held"},
           {*snapshot->issuing, clock.Now() + absl::Hours(24 * 31), "not valid now"}}) {
    const absl::Status status = issuer.Issue(Judged(), authority, now).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  }
}

// Counts the signatures that somebody else's key makes.
class CountingKey final : public SigningKey {
 public:
  explicit CountingKey(const SigningKey& key) : key_(key) {}
  absl::StatusOr<std::string> Sign(absl::string_view message) const override {
    ++signatures;
    return key_.Sign(message);
  }
  const PublicKey& public_key() const override { return key_.public_key(); }
  absl::string_view signature_algorithm() const override { return key_.signature_algorithm(); }

  mutable int signatures = 0;

 private:
  const SigningKey& key_;
};

// Whoever judges requests lets none of these through; a fault there must not become a certificate.
TEST(Issuer, AFindingOfTheLintStopsTheSignature) {
  const FakeClock clock;
  const auto snapshot = NewSnapshot(clock.Now());
  const auto key = std::make_shared<CountingKey>(*snapshot->issuing->key);
  SigningAuthority authority = *snapshot->issuing;
  authority.key = key;
  const Issuer issuer(CertificateProfile(), SystemEntropy());
  for (const SpiffeId& unfit : {*SpiffeId::Parse(TestDomain().Id()), SpiffeId()}) {
    IssuanceRequest request = Judged();
    request.spiffe_id = unfit;
    const absl::Status status = issuer.Issue(request, authority, clock.Now()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << unfit.uri();
    EXPECT_EQ(ReasonOf(status), "LINT") << unfit.uri();
  }
  EXPECT_EQ(key->signatures, 0);
  EXPECT_TRUE(issuer.Issue(Judged(), authority, clock.Now()).ok());
  EXPECT_EQ(key->signatures, 1);
}

// --- Pipeline ------------------------------------------------------------------------------------------------------

struct Harness {
  explicit Harness(PipelineOptions options = {.threads = 2})
      : pipeline(CertificateProfile(), options, snapshots, store, clock, SystemEntropy()) {}

  Result SubmitAndWait(SubmittedRequest request) {
    std::optional<Result> answer;
    Event done;
    pipeline.Submit(std::move(request), [&](Result result) {
      answer = std::move(result);
      done.Set();
    });
    done.Wait();
    return *std::move(answer);
  }

  FakeClock clock;
  TestSnapshots snapshots{NewSnapshot(clock.Now())};
  ScriptedStore store;
  IssuancePipeline pipeline;
};

TEST(IssuancePipeline, AChainLeavesOnlyAfterItsRecordIsDurable) {
  Harness h;
  h.store.Hold();
  std::atomic<bool> answered{false};
  Event done;
  h.pipeline.Submit(WebRequest(Key()), [&](Result result) {
    EXPECT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->record->certificate_sha256, Sha256(result->chain.leaf().bytes()));
    EXPECT_NE(result->authorities, nullptr);
    answered = true;
    done.Set();
  });
  h.store.WaitForHeld(1);
  EXPECT_FALSE(answered);
  EXPECT_EQ(h.pipeline.Stats().in_flight, 1u);
  h.store.Release();
  done.Wait();
  h.pipeline.Shutdown();
  const PipelineStats stats = h.pipeline.Stats();
  EXPECT_EQ(stats.issued, 1u);
  EXPECT_EQ(stats.submitted, 1u);
  EXPECT_EQ(stats.in_flight, 0u);
  EXPECT_EQ(stats.latency[0], 1u);
}

TEST(IssuancePipeline, EveryRefusalIsCountedWhereItBelongs) {
  Harness h;
  SubmittedRequest broken = WebRequest(Key());
  broken.csr.resize(20);
  EXPECT_EQ(ReasonOf(h.SubmitAndWait(broken).status()), "CSR_MALFORMED");
  SubmittedRequest foreign = WebRequest(Key(), {{"spiffe://cluster.local/other"}, {}, {}, false});
  EXPECT_EQ(h.SubmitAndWait(foreign).status().code(), absl::StatusCode::kPermissionDenied);
  SubmittedRequest long_lived = WebRequest(Key());
  long_lived.lifetime = absl::Hours(24 * 3650);
  EXPECT_EQ(ReasonOf(h.SubmitAndWait(long_lived).status()), "LIFETIME");
  h.store.Answer({absl::UnavailableError("disk full")});
  EXPECT_EQ(h.SubmitAndWait(WebRequest(Key())).status().code(), absl::StatusCode::kUnavailable);
  h.snapshots.Publish(nullptr);
  EXPECT_EQ(ReasonOf(h.SubmitAndWait(WebRequest(Key())).status()), "NO_ACTIVE_AUTHORITY");
  h.pipeline.Shutdown();
  const PipelineStats stats = h.pipeline.Stats();
  EXPECT_EQ(stats.csr_errors, 1u);
  EXPECT_EQ(stats.name_errors, 1u);
  EXPECT_EQ(stats.policy_errors, 1u);
  EXPECT_EQ(stats.store_errors, 1u);
  EXPECT_EQ(stats.sign_errors, 1u);
  EXPECT_EQ(stats.issued, 0u);
}

TEST(IssuancePipeline, AFullQueueAnswersAtOnceAndRenewalsHaveRoomOfTheirOwn) {
  Harness h({.threads = 1, .queued_renewals_max = 1, .queued_bulk_max = 2});
  // The only thread is kept busy inside the store.
  Event entered, leave;
  std::atomic<bool> first{true};
  h.store.OnAppend([&](const IssuanceRecord&) {
    if (!first.exchange(false)) return;
    entered.Set();
    leave.Wait();
  });
  std::vector<std::string> order;
  Mutex mutex;
  const auto submit = [&](const std::string& name, bool renewal) {
    SubmittedRequest request = WebRequest(Key());
    if (renewal) request.caller.parent_serial = "00ff";
    absl::Status at_once;
    h.pipeline.Submit(std::move(request),
                      [&mutex, &order, &at_once, name, here = std::this_thread::get_id()](Result r) {
                        if (std::this_thread::get_id() == here) at_once = r.status();
                        MutexLock lock(mutex);
                        order.push_back(name + (r.ok() ? "" : "!"));
                      });
    return at_once;
  };
  // The result of what is answered later is not looked at: `at_once` is gone by then, and the thread another.
  EXPECT_TRUE(submit("busy", false).ok());
  entered.Wait();
  EXPECT_TRUE(submit("bulk 1", false).ok());
  EXPECT_TRUE(h.pipeline.CheckRoom(WebCaller()).ok());
  EXPECT_TRUE(submit("bulk 2", false).ok());
  EXPECT_EQ(ReasonOf(h.pipeline.CheckRoom(WebCaller())), "QUEUE_FULL");
  CallerIdentity renewing = WebCaller();
  renewing.parent_serial = "00ff";
  EXPECT_TRUE(h.pipeline.CheckRoom(renewing).ok());
  const absl::Status full = submit("bulk 3", false);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(full), "QUEUE_FULL");
  EXPECT_TRUE(submit("renewal 1", true).ok());
  EXPECT_EQ(submit("renewal 2", true).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(h.pipeline.Stats().queued_bulk, 2u);
  EXPECT_EQ(h.pipeline.Stats().queued_renewals, 1u);
  leave.Set();
  h.pipeline.Shutdown();
  EXPECT_THAT(order, testing::ElementsAre("bulk 3!", "renewal 2!", "busy", "renewal 1", "bulk 1", "bulk 2"));
  EXPECT_EQ(h.pipeline.Stats().queue_full, 3u);
  EXPECT_EQ(h.pipeline.Stats().renewals_issued, 1u);
}

TEST(IssuancePipeline, ARenewalThatGoesWithTheFirstOnesWaitsItsTurn) {
  Harness h({.threads = 1});
  Event entered, leave;
  std::atomic<bool> first{true};
  h.store.OnAppend([&](const IssuanceRecord&) {
    if (!first.exchange(false)) return;
    entered.Set();
    leave.Wait();
  });
  std::vector<std::string> order;
  Mutex mutex;
  const auto submit = [&](const std::string& name, bool renewal, bool with_first_ones) {
    SubmittedRequest request = WebRequest(Key());
    if (renewal) request.caller.parent_serial = "00ff";
    request.with_first_ones = with_first_ones;
    h.pipeline.Submit(std::move(request), [&mutex, &order, name](Result result) {
      EXPECT_TRUE(result.ok()) << result.status();
      MutexLock lock(mutex);
      order.push_back(name);
    });
  };
  submit("busy", false, false);
  entered.Wait();
  submit("first one", false, false);
  submit("claimed renewal", true, true);
  submit("renewal", true, false);
  leave.Set();
  h.pipeline.Shutdown();
  EXPECT_THAT(order, testing::ElementsAre("busy", "renewal", "first one", "claimed renewal"));
  EXPECT_EQ(h.pipeline.Stats().renewals_issued, 2u);
}

TEST(IssuancePipeline, GivesTheStoreTogetherWhatWasSubmittedTogether) {
  Harness h({.threads = 2});
  std::vector<IssuancePipeline::Submission> submissions;
  Mutex mutex;
  std::vector<std::string> outcomes(6);
  for (size_t i = 0; i < 6; ++i) {
    SubmittedRequest request = WebRequest(Key());
    if (i == 1) request.csr = "no csr";
    if (i >= 4) request.caller.parent_serial = "00ff";
    submissions.push_back({std::move(request), [&mutex, &outcomes, i](Result result) {
                             MutexLock lock(mutex);
                             outcomes[i] = result.ok() ? "issued" : std::string(ReasonOf(result.status()));
                           }});
  }
  h.pipeline.SubmitTogether(std::move(submissions));
  h.pipeline.Shutdown();
  EXPECT_THAT(outcomes,
              testing::ElementsAre("issued", testing::StartsWith("CSR_"), "issued", "issued", "issued", "issued"));
  // Renewals wait for no first ones.
  EXPECT_THAT(h.store.together(), testing::UnorderedElementsAre(2u, 3u));
}

TEST(IssuancePipeline, SignsAgainWithTheNewestAuthorityWhenAnActivationOvertakesARecord) {
  Harness h;
  const auto next = NewSnapshot(h.clock.Now(), 2);
  h.store.Answer({absl::AbortedError("authority is old")});
  h.store.OnAppend([&](const IssuanceRecord&) { h.snapshots.Publish(next); });
  const Result result = h.SubmitAndWait(WebRequest(Key()));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->record->authority_id, next->issuing->id);
  EXPECT_EQ(result->authorities, next);
  const std::vector<IssuanceRecord> records = h.store.records();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_NE(records[0].serial, records[1].serial);
  EXPECT_EQ(h.pipeline.Stats().signed_again, 1u);
}

TEST(IssuancePipeline, ASerialSeenBeforeIsReplaced) {
  Harness h;
  h.store.Answer({absl::AlreadyExistsError("serial")});
  EXPECT_TRUE(h.SubmitAndWait(WebRequest(Key())).ok());
  EXPECT_EQ(h.store.records().size(), 2u);
}

TEST(IssuancePipeline, WhatExistsAndIsNoSerialIsNotSignedAgain) {
  Harness h;
  const absl::Status lives = WithReason(absl::AlreadyExistsError("node web-1 lives"), "NODE_LIVES");
  h.store.Answer({lives});
  EXPECT_EQ(h.SubmitAndWait(WebRequest(Key())).status(), lives);
  EXPECT_EQ(h.store.records().size(), 1u);
}

TEST(IssuancePipeline, GivesUpAfterABoundedNumberOfSignatures) {
  Harness h({.threads = 1, .attempts_max = 3});
  h.store.Answer(std::vector<absl::Status>(10, absl::AlreadyExistsError("serial")));
  const absl::Status status = h.SubmitAndWait(WebRequest(Key())).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("after 3 signatures"));
  EXPECT_EQ(h.store.records().size(), 3u);
}

TEST(IssuancePipeline, TheStoresOwnErrorsReachTheCaller) {
  Harness h;
  for (const absl::Status& error : {absl::UnauthenticatedError("token redeemed"), absl::ResourceExhaustedError("queue"),
                                    absl::UnavailableError("disk full")}) {
    h.store.Answer({error});
    EXPECT_EQ(h.SubmitAndWait(WebRequest(Key())).status(), error);
  }
  EXPECT_TRUE(h.SubmitAndWait(WebRequest(Key())).ok()) << "recovers by itself";
}

TEST(IssuancePipeline, ShutdownFinishesWhatWasQueuedAndRefusesTheRest) {
  Harness h({.threads = 1});
  std::atomic<int> issued{0};
  for (int i = 0; i < 50; ++i) {
    h.pipeline.Submit(WebRequest(Key()), [&](Result result) { issued += result.ok(); });
  }
  h.pipeline.Shutdown();
  EXPECT_EQ(issued, 50);
  std::optional<Result> late;
  h.pipeline.Submit(WebRequest(Key()), [&](Result result) { late = std::move(result); });
  ASSERT_TRUE(late.has_value());
  EXPECT_EQ(late->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(late->status()), "SHUTTING_DOWN");
}

TEST(IssuancePipeline, ShutdownWaitsForTheStoresCallbacks) {
  Harness h;
  h.store.Hold();
  std::atomic<bool> answered{false};
  h.pipeline.Submit(WebRequest(Key()), [&](Result) { answered = true; });
  h.store.WaitForHeld(1);
  std::thread closing([&] {
    h.pipeline.Shutdown();
    EXPECT_TRUE(answered);
  });
  h.store.Release();
  closing.join();
}

TEST(IssuancePipeline, ManyThreadsManyRequests) {
  Harness h({.threads = 4, .queued_bulk_max = 1000});
  std::atomic<int> issued{0};
  std::vector<std::thread> clients;
  for (int t = 0; t < 4; ++t) {
    clients.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        h.pipeline.Submit(WebRequest(Key()), [&](Result result) { issued += result.ok(); });
      }
    });
  }
  for (std::thread& client : clients) client.join();
  h.pipeline.Shutdown();
  EXPECT_EQ(issued, 200);
  EXPECT_EQ(h.pipeline.Stats().issued, 200u);
}

}  // namespace
}  // namespace meshca
