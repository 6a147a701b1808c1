// meshca-seed: fills the record of a stopped `meshca serve` with issuances that never were, to measure how it behaves
// with millions of them. For benchmarks: the rows go through the server's own storage classes, so they are as it would
// have written them, only that no certificate belongs to them.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ca/authority/key_encryption.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"
#include "storage/sqlite/sqlite_store.h"

namespace meshca::bench {
namespace {

// Rows on their way: fewer than the writer's queue takes.
constexpr int kUnderWayMax = 32768;

struct Flags {
  std::string state_dir;
  int64_t rows = 0;
  int64_t workloads = 10000;
  absl::Duration issued_from = absl::Hours(12);  // ago
  absl::Duration issued_until;                   // ago
  absl::Duration lifetime = absl::Hours(24);
};

// Counts what the writer has not answered yet, and keeps the first error. Thread-safe.
class UnderWay {
 public:
  void Add() {
    MutexLock lock(mutex_);
    while (count_ >= kUnderWayMax) changed_.Wait(mutex_);
    ++count_;
  }
  void Done(const absl::Status& status) {
    MutexLock lock(mutex_);
    first_.Update(status);
    if (--count_ % 1024 == 0) changed_.NotifyAll();
  }
  absl::Status Error() {
    MutexLock lock(mutex_);
    return first_;
  }
  absl::Status Wait() {
    MutexLock lock(mutex_);
    while (count_ > 0) changed_.Wait(mutex_);
    return first_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status first_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<std::string> SigningAuthorityId(const AuthoritiesAndBundle& stored) {
  for (const StoredAuthority& authority : stored.authorities) {
    if (authority.role == AuthorityRole::kIssuing && authority.state == AuthorityState::kActive) return authority.id;
  }
  return absl::NotFoundError("no authority signs here: start `meshca serve` on this state once");
}

std::string RandomHash(EntropySource& entropy) {
  std::string hash(32, '\0');
  entropy.Fill({reinterpret_cast<uint8_t*>(hash.data()), hash.size()});
  return hash;
}

absl::Status Seed(const Flags& flags) {
  MESHCA_ASSIGN_OR_RETURN(const KeyEncryption keys, KeyEncryption::FromFile(flags.state_dir + "/kek", false));
  storage::SqliteOptions options;
  options.path = flags.state_dir + "/meshca.db";
  options.keys = &keys;
  options.clock = &SystemClock();
  UnderWay under_way;  // outlives the store, which answers it
  MESHCA_ASSIGN_OR_RETURN(const auto store, storage::OpenSqliteStore(options));
  MESHCA_ASSIGN_OR_RETURN(const AuthoritiesAndBundle stored, store->LoadAuthorities());
  MESHCA_ASSIGN_OR_RETURN(const std::string authority_id, SigningAuthorityId(stored));
  EntropySource& entropy = PublicEntropy();
  const absl::Time from = absl::Now() - flags.issued_from;
  const absl::Duration step = (flags.issued_from - flags.issued_until) / flags.rows;
  std::vector<SpiffeId> workloads;
  for (int64_t i = 0; i < flags.workloads; ++i) {
    MESHCA_ASSIGN_OR_RETURN(workloads.emplace_back(),
                            SpiffeId::Parse(absl::StrCat("spiffe://", stored.trust_domain, "/ns/bench/sa/seed-", i)));
  }
  for (int64_t i = 0; i < flags.rows; ++i) {
    IssuanceRecord record;
    record.issued_at = from + i * step;
    record.serial = SerialNumber::Make(record.issued_at, entropy);
    record.spiffe_id = workloads[i % flags.workloads];
    record.key_sha256 = RandomHash(entropy);
    record.certificate_sha256 = RandomHash(entropy);
    record.authority_id = authority_id;
    record.not_before = record.issued_at - absl::Minutes(2);
    record.not_after = record.issued_at + flags.lifetime;
    record.caller = record.spiffe_id.uri();
    record.method = AuthMethod::kJwt;
    record.origin = {OriginKind::kJwtIssuer, "https://issuer.test"};
    under_way.Add();
    store->Append(std::move(record), [&under_way](absl::Status status) { under_way.Done(status); });
    if (i % 65536 == 0) MESHCA_RETURN_IF_ERROR(under_way.Error());
  }
  return under_way.Wait();
}

int Run(int argc, char** argv) {
  Flags flags;
  CLI::App tool("Fills the record of a stopped CA with issuances that never were, for benchmarks", "meshca-seed");
  tool.add_option("--state-dir", flags.state_dir, "State of a CA that was started once and is stopped")->required();
  tool.add_option("--rows", flags.rows, "How many issuances to add")->required()->check(CLI::PositiveNumber);
  tool.add_option("--workloads", flags.workloads, "SPIFFE IDs that they are for")->check(CLI::PositiveNumber);
  const auto duration = [&tool](const char* name, absl::Duration& value, const char* help) {
    tool.add_option_function<std::string>(
        name,
        [&value, name](const std::string& text) {
          if (!absl::ParseDuration(text, &value)) throw CLI::ValidationError(name, "write it as 90s, 10m or 1h30m");
        },
        help);
  };
  duration("--issued-from", flags.issued_from, "How long ago the first one was issued (12h)");
  duration("--issued-until", flags.issued_until, "How long ago the last one was issued (0s)");
  duration("--lifetime", flags.lifetime, "From the issuance to notAfter (24h)");
  try {
    tool.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return tool.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = Seed(flags);
  if (!status.ok()) std::fprintf(stderr, "meshca-seed: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace meshca::bench

int main(int argc, char** argv) { return meshca::bench::Run(argc, argv); }
