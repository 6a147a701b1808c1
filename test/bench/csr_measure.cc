#include "test/bench/csr_measure.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "ca/base/file.h"
#include "ca/base/status.h"
#include "test/bench/arithmetic.h"
#include "test/bench/chain_check.h"
#include "test/bench/csr_stream.h"
#include "test/bench/process_meter.h"
#include "test/bench/rate_schedule.h"

namespace meshca::bench {
namespace {

constexpr absl::Duration kYardstick = absl::Milliseconds(400);
constexpr size_t kTokenBytesMax = 64 * 1024;
// A closed loop of a given time needs as many requests as the server will answer: what the last one did, and more.
constexpr double kSpare = 1.5;
constexpr double kUnknownPerSecond = 10'000;

std::vector<std::string> Messages(const std::vector<std::string>& csrs) {
  std::vector<std::string> messages;
  messages.reserve(csrs.size());
  for (const std::string& csr : csrs) messages.push_back(CsrMessage(csr));
  return messages;
}

// What a round sends, and the CSRs behind the answers that were kept.
struct Requests {
  std::unique_ptr<RequestSource> source;
  std::function<const std::string&(size_t number)> csr;
  std::function<void()> stop;  // no more is needed
};

absl::Duration OwnCpu() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return absl::DurationFromTimeval(usage.ru_utime) + absl::DurationFromTimeval(usage.ru_stime);
}

std::string Describe(const CsrOptions& options) {
  const std::string load = options.load.rate ? absl::StrFormat("%g a second", *options.load.rate)
                                             : absl::StrFormat("%d in flight", options.load.in_flight);
  return absl::StrCat(options.target.address, ", ", options.key_type_name, ", ", load, " on ",
                      options.load.new_connection_each ? std::string("a new connection each")
                                                       : absl::StrCat(options.load.connections, " connections"),
                      options.target.certificate_file.empty() ? ", TLS" : ", mTLS",
                      options.target.resume_sessions ? ", resumed" : "");
}

class Measurement {
 public:
  Measurement(CsrOptions options, const std::function<void(absl::string_view)>& progress)
      : options_(std::move(options)), progress_(progress) {}

  absl::Status Prepare() {
    if (options_.server_pid > 0) {
      MESHCA_ASSIGN_OR_RETURN(meter_, ProcessMeter::Of(options_.server_pid));
    }
    if (!options_.token_file.empty()) {
      MESHCA_ASSIGN_OR_RETURN(const std::string token,
                              ReadFile(options_.token_file, kTokenBytesMax, FileSecrecy::kPublic));
      options_.load.authorization = absl::StrCat("Bearer ", absl::StripAsciiWhitespace(token));
    }
    options_.load.method = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
    MESHCA_ASSIGN_OR_RETURN(check_, ChainCheck::Create(options_.target.root_file, options_.spiffe_id));
    MESHCA_ASSIGN_OR_RETURN(target_, TlsTarget::Create(options_.target));
    MESHCA_ASSIGN_OR_RETURN(load_, GrpcLoad::Connect(*target_, options_.load));
    report_.what = Describe(options_);
    return absl::OkStatus();
  }

  absl::Status WarmUp() {
    if (options_.warm_up == 0) return absl::OkStatus();
    ReadyRequests requests(Messages(MakeCsrs(options_.warm_up, options_.spiffe_id, options_.key_type)));
    MESHCA_ASSIGN_OR_RETURN(const LoadResult result, load_->Run(requests, absl::InfiniteDuration()));
    if (result.ok > 0) {
      per_second_ = static_cast<double>(result.ok) / absl::ToDoubleSeconds(result.wall);
      return absl::OkStatus();
    }
    const auto& [name, message] = *result.error_messages.begin();
    return absl::UnavailableError(absl::StrFormat("no certificate in %d requests to warm up; the first error: %s: %s",
                                                  result.sent, name, message));
  }

  absl::Status Round() {
    const size_t count = RequestsOfARound();
    const Requests requests = GoesAlong(count) ? AsItGoes(count) : Before(count);
    CsrRound round;
    std::optional<absl::Duration> yardstick;
    if (options_.yardstick) yardstick = P256VerifyAndSign(kYardstick);
    absl::Duration server_before;
    if (meter_) {
      MESHCA_ASSIGN_OR_RETURN(server_before, meter_->CpuTime());
    }
    const absl::Duration own_before = OwnCpu();
    MESHCA_ASSIGN_OR_RETURN(LoadResult result, load_->Run(*requests.source, LimitOfARound()));
    round.load_cpu = OwnCpu() - own_before;
    if (meter_) {
      MESHCA_ASSIGN_OR_RETURN(const absl::Duration server_after, meter_->CpuTime());
      round.server_cpu = server_after - server_before;
    }
    requests.stop();
    if (yardstick) round.arithmetic = (*yardstick + P256VerifyAndSign(kYardstick)) / 2;
    for (const auto& [index, response] : result.kept)
      MESHCA_RETURN_IF_ERROR(check_->Check(response, requests.csr(index)));
    round.verified = result.kept.size();
    if (!options_.load.rate && !options_.requests && result.sent == count) {
      progress_("the requests made beforehand were used up: the round ended early (a longer --warm-up helps)");
    }
    Add(std::move(result), std::move(round));
    return absl::OkStatus();
  }

  absl::StatusOr<CsrReport> Finish() {
    if (meter_) {
      MESHCA_ASSIGN_OR_RETURN(const ProcessMemory memory, meter_->Memory());
      report_.memory_bytes = memory.resident_bytes;
      report_.memory_peak_bytes = memory.resident_peak_bytes;
    }
    return std::move(report_);
  }

 private:
  size_t RequestsOfARound() const {
    if (options_.requests) return *options_.requests;
    if (options_.load.rate) return RateSchedule(*options_.load.rate).CountWithin(options_.duration);
    return static_cast<size_t>(per_second_ * absl::ToDoubleSeconds(options_.duration) * kSpare) +
           options_.load.in_flight;
  }

  bool GoesAlong(size_t count) const {
    return options_.load.rate.has_value() && (options_.ahead.has_value() || count > kMadeBeforeMax);
  }

  // All of them, before the round's clock starts. Says at once what that takes where it takes long.
  Requests Before(size_t count) {
    constexpr size_t kProbe = 200;
    constexpr double kRequestBytes = 1500;  // the CSR, its message, and the allocator's part of both
    if (count > kMadeBeforeMax) {
      const absl::Time begun = absl::Now();
      MakeCsrs(kProbe, options_.spiffe_id, options_.key_type);
      const absl::Duration all = (absl::Now() - begun) / kProbe * count;
      progress_(
          absl::StrFormat("makes %d requests first: about %s and %.0f MB. A closed loop sends as fast as answers "
                          "come, so they cannot be made meanwhile; with --rate they are made as it goes",
                          count, absl::FormatDuration(absl::Ceil(all, absl::Seconds(1))),
                          static_cast<double>(count) * kRequestBytes / 1e6));
    }
    const auto csrs =
        std::make_shared<const std::vector<std::string>>(MakeCsrs(count, options_.spiffe_id, options_.key_type));
    return {std::make_unique<ReadyRequests>(Messages(*csrs)),
            [csrs](size_t number) -> const std::string& { return (*csrs)[number]; }, [] {}};
  }

  // On a thread of their own, a bounded number ahead. Says at once where that thread is too slow for the rate.
  Requests AsItGoes(size_t count) {
    CsrStream::Options stream;
    stream.count = count;
    const size_t ahead = options_.ahead.value_or(kRequestsAhead);
    stream.ahead = ahead;
    stream.keep_one_in = options_.load.keep_one_in;
    stream.make = CsrMaker(options_.spiffe_id, options_.key_type);
    auto source = std::make_unique<CsrStream>(std::move(stream));
    progress_(absl::StrFormat("makes %d requests as it goes, %d ahead; first these", count, ahead));
    source->Fill();
    const double made = source->MadePerSecond();
    const double rate = *options_.load.rate;
    if (made < rate) {
      progress_(absl::StrFormat(
          "makes %.0f requests a second, and %.0f leave: from about %s on some will not be there, which is counted as "
          "not made; share the rate between several meshca-bench, or take more cores",
          made, rate, absl::FormatDuration(absl::Seconds(std::ceil(static_cast<double>(ahead) / (rate - made))))));
    }
    CsrStream& going = *source;
    return {std::move(source), [&going](size_t number) -> const std::string& { return going.Kept(number); },
            [&going] { going.Stop(); }};
  }

  absl::Duration LimitOfARound() const { return options_.requests ? absl::InfiniteDuration() : options_.duration; }

  void Add(LoadResult result, CsrRound round) {
    round.requests = result.sent;
    round.ok = result.ok;
    round.not_sent = result.not_sent;
    round.not_made = result.not_made;
    round.errors = std::move(result.errors);
    round.wall = result.wall;
    round.connections = result.connections;
    round.resumed = result.resumed;
    round.latency = std::move(result.latency);
    round.error_latency = std::move(result.error_latency);
    if (round.ok > 0) {
      per_second_ = std::max(per_second_, static_cast<double>(round.ok) / absl::ToDoubleSeconds(round.wall));
    }
    report_.rounds.push_back(std::move(round));
    for (auto& [name, message] : result.error_messages) report_.error_messages.emplace(name, std::move(message));
  }

  CsrOptions options_;
  const std::function<void(absl::string_view)>& progress_;
  std::optional<ProcessMeter> meter_;
  std::optional<ChainCheck> check_;
  std::unique_ptr<TlsTarget> target_;
  std::unique_ptr<GrpcLoad> load_;
  double per_second_ = kUnknownPerSecond;
  CsrReport report_;
};

}  // namespace

absl::StatusOr<CsrReport> MeasureCsr(CsrOptions options, const std::function<void(absl::string_view)>& progress) {
  const int rounds = options.rounds;
  Measurement measurement(std::move(options), progress);
  MESHCA_RETURN_IF_ERROR(measurement.Prepare());
  MESHCA_RETURN_IF_ERROR(measurement.WarmUp());
  for (int round = 0; round < rounds; ++round) MESHCA_RETURN_IF_ERROR(measurement.Round());
  return measurement.Finish();
}

}  // namespace meshca::bench
