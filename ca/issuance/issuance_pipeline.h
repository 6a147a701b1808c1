// From a submitted request to a chain whose record is durable.
#ifndef MESHCA_CA_ISSUANCE_ISSUANCE_PIPELINE_H_
#define MESHCA_CA_ISSUANCE_ISSUANCE_PIPELINE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/issuance/certificate_profile.h"
#include "ca/issuance/issuance_request.h"
#include "ca/issuance/issuance_store.h"
#include "ca/x509/certificate_chain.h"

namespace meshca {

// A certificate whose record is durable: it may leave.
struct IssuedCertificate {
  CertificateChain chain;  // leaf, issuing authority, upstream; root left out
  std::shared_ptr<const IssuanceRecord> record;
  // Under which it was signed: chain_tail_pem and roots_pem are there, encoded once for everybody.
  std::shared_ptr<const AuthoritySnapshot> authorities;
};

struct PipelineOptions {
  size_t threads = 0;  // 0: one per core
  size_t queued_renewals_max = 8192;
  size_t queued_bulk_max = 4096;
  int attempts_max = 4;             // signatures for one request, when activations or serial collisions catch it
  RequestPolicy* policy = nullptr;  // outlives the pipeline; null: the profile and the caller's rights are all
};

// Since start. Consistent enough for metrics, not a transaction.
struct PipelineStats {
  // Upper bounds of latency buckets (from Submit to the callback), seconds; the last bucket is +Inf.
  static constexpr std::array<double, 12> kLatencyBounds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                            0.05,   0.1,   0.25,   0.5,   1,    5};
  uint64_t submitted = 0;
  uint64_t issued = 0;
  uint64_t renewals_issued = 0;
  uint64_t csr_errors = 0;     // InvalidArgument while reading the CSR
  uint64_t name_errors = 0;    // the identity asked for is not the caller's, or cannot be read
  uint64_t policy_errors = 0;  // key type, lifetime, CA:TRUE, rate
  uint64_t sign_errors = 0;    // no authority, OpenSSL, lint
  uint64_t store_errors = 0;   // the record did not become durable
  uint64_t queue_full = 0;     // ResourceExhausted at the door
  uint64_t signed_again = 0;   // resubmissions after Aborted or AlreadyExists
  uint64_t in_flight = 0;      // submitted, callback not yet run
  uint64_t queued_renewals = 0;
  uint64_t queued_bulk = 0;
  std::array<uint64_t, kLatencyBounds.size() + 1> latency = {};
  double latency_sum = 0;  // seconds
};

// Admission queue with two classes, a pool of signing threads, and the store. Thread-safe.
class IssuancePipeline {
 public:
  // Runs exactly once, with no lock held: on the store's writer thread (an issued certificate, a store error), on a
  // pool thread (a refused request), or inside Submit (queue full, shut down).
  using Done = absl::AnyInvocable<void(absl::StatusOr<IssuedCertificate>) &&>;

  // Starts the pool. All references outlive the pipeline; `profile` is valid.
  IssuancePipeline(CertificateProfile profile, PipelineOptions options, const AuthoritySnapshots& authorities,
                   IssuanceStore& store, const Clock& clock, EntropySource& entropy);
  ~IssuancePipeline();

  // Queues `request` and returns; never blocks. Renewals (CallerIdentity::IsRenewal, unless with_first_ones) go before
  // all others and have a queue of their own. Errors, beside those of JudgeRequest and Issuer::Issue: ResourceExhausted
  // (queue full; reason QUEUE_FULL), Unavailable (database away, no active authority, shutting down), Unauthenticated
  // (the token was redeemed by somebody else).
  void Submit(SubmittedRequest request, Done done);
  struct Submission {
    SubmittedRequest request;
    Done done;
  };
  // The same for each of them, and the records of those that wait in the same queue are given to the store together
  // once the last one is signed. Each has its own outcome.
  void SubmitTogether(std::vector<Submission> submissions);

  // Would Submit refuse a request of `caller` at once? Then with that error, and counted: a request that will be turned
  // away need not be read first. Ok promises nothing.
  absl::Status CheckRoom(const CallerIdentity& caller);

  // Refuses what comes from now on, finishes what was queued, and returns when every callback has run. Idempotent.
  // The store must still be running.
  void Shutdown();

  PipelineStats Stats() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_ISSUANCE_PIPELINE_H_
