// The parts of `meshca-bench csr` that count: histogram, schedule, report, and the check of answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "ca/base/mutex.h"
#include "test/bench/csr_factory.h"
#include "test/bench/csr_report.h"
#include "test/bench/csr_stream.h"
#include "test/bench/latency_histogram.h"
#include "test/bench/rate_schedule.h"

namespace meshca::bench {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::FieldsAre;
using testing::Ge;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;

LatencyHistogram Of(const std::vector<absl::Duration>& latencies) {
  LatencyHistogram histogram;
  for (const absl::Duration latency : latencies) histogram.Record(latency);
  return histogram;
}

TEST(LatencyHistogram, WithoutValuesIsZero) {
  const LatencyHistogram empty;
  EXPECT_EQ(empty.Quantile(0.5), absl::ZeroDuration());
  EXPECT_EQ(empty.max(), absl::ZeroDuration());
  EXPECT_THAT(empty.Bars(), IsEmpty());
}

TEST(LatencyHistogram, OneValueIsEveryQuantile) {
  const LatencyHistogram one = Of({absl::Microseconds(123'456)});
  for (const double q : {0.0, 0.5, 0.999, 1.0}) EXPECT_EQ(one.Quantile(q), absl::Microseconds(123'456)) << q;
}

TEST(LatencyHistogram, SmallValuesAreExact) {
  LatencyHistogram histogram;
  for (int us = 1; us <= 200; ++us) histogram.Record(absl::Microseconds(us));
  EXPECT_EQ(histogram.Quantile(0.5), absl::Microseconds(100));
  EXPECT_EQ(histogram.Quantile(0.99), absl::Microseconds(198));
  EXPECT_EQ(histogram.Quantile(1), absl::Microseconds(200));
}

TEST(LatencyHistogram, QuantilesAreWithinOnePercentAtEveryScale) {
  for (const int64_t scale_us : {1, 10, 1000, 100'000, 1'000'000}) {
    LatencyHistogram histogram;
    for (int i = 1; i <= 1000; ++i) histogram.Record(absl::Microseconds(i * scale_us));
    for (const double q : {0.1, 0.5, 0.9, 0.99, 0.999}) {
      const absl::Duration exact = absl::Microseconds(scale_us) * (q * 1000);
      EXPECT_THAT(histogram.Quantile(q), AllOf(Ge(exact - absl::Microseconds(1)), Le(exact * 1.01)))
          << q << " of values by " << scale_us << " us";
    }
  }
}

TEST(LatencyHistogram, AFractionOfAMicrosecondIsNotLost) {
  EXPECT_EQ(Of({absl::Nanoseconds(1500)}).Quantile(0.5), absl::Nanoseconds(1500));
  EXPECT_EQ(Of({absl::Nanoseconds(1500), absl::Microseconds(9)}).Quantile(0.5), absl::Microseconds(2));
}

TEST(LatencyHistogram, ValuesOutsideItsRangeCountAtItsEnds) {
  const LatencyHistogram histogram = Of({absl::Microseconds(-5), absl::Hours(9)});
  EXPECT_EQ(histogram.count(), 2);
  EXPECT_EQ(histogram.Quantile(0.5), absl::ZeroDuration());
  EXPECT_EQ(histogram.max(), absl::Hours(9));
}

TEST(LatencyHistogram, MergingIsAsIfRecordedInOne) {
  LatencyHistogram both = Of({absl::Milliseconds(1), absl::Milliseconds(3)});
  both.Merge(Of({absl::Milliseconds(2), absl::Seconds(2)}));
  const LatencyHistogram one =
      Of({absl::Milliseconds(1), absl::Milliseconds(2), absl::Milliseconds(3), absl::Seconds(2)});
  EXPECT_EQ(both.count(), one.count());
  EXPECT_EQ(both.max(), one.max());
  for (const double q : {0.25, 0.5, 0.75, 1.0}) EXPECT_EQ(both.Quantile(q), one.Quantile(q)) << q;
}

TEST(LatencyHistogram, BarsSpanWhatIsThereAndLoseNothing) {
  const LatencyHistogram histogram =
      Of({absl::Microseconds(450), absl::Microseconds(900), absl::Microseconds(950), absl::Microseconds(4900)});
  EXPECT_THAT(histogram.Bars(), ElementsAre(FieldsAre(absl::Microseconds(500), 1), FieldsAre(absl::Milliseconds(1), 2),
                                            FieldsAre(absl::Milliseconds(2), 0), FieldsAre(absl::Milliseconds(5), 1)));
}

TEST(RateSchedule, SpacesRequestsEvenly) {
  const RateSchedule schedule(250);
  EXPECT_EQ(schedule.DueAfter(0), absl::ZeroDuration());
  EXPECT_EQ(schedule.DueAfter(1), absl::Milliseconds(4));
  EXPECT_EQ(schedule.DueAfter(1000), absl::Seconds(4));
}

TEST(RateSchedule, DoesNotDriftOverAnHour) {
  const RateSchedule schedule(7001);
  EXPECT_LT(absl::AbsDuration(schedule.DueAfter(uint64_t{7001} * 3600) - absl::Hours(1)), absl::Microseconds(1));
}

TEST(RateSchedule, CountsThoseDueBeforeTheEnd) {
  EXPECT_EQ(RateSchedule(100).CountWithin(absl::Seconds(1)), 100);  // the 101st is due when it is over
  EXPECT_EQ(RateSchedule(30).CountWithin(absl::Milliseconds(100)), 3);
  EXPECT_EQ(RateSchedule(0.5).CountWithin(absl::Seconds(3)), 2);
  EXPECT_EQ(RateSchedule(1000).CountWithin(absl::Microseconds(1)), 1);
}

// A maker that waits before each request until it is told to go on; it makes "1", "2", ...
class Gate {
 public:
  void Open(int more) {
    MutexLock lock(mutex_);
    allowed_ += more;
    changed_.NotifyAll();
  }
  int made() {
    MutexLock lock(mutex_);
    return made_;
  }
  std::function<std::string()> Maker() {
    return [this] {
      MutexLock lock(mutex_);
      while (made_ >= allowed_) changed_.Wait(mutex_);
      return std::to_string(++made_);
    };
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int allowed_ ABSL_GUARDED_BY(mutex_) = 0;
  int made_ ABSL_GUARDED_BY(mutex_) = 0;
};

CsrStream::Options StreamOf(Gate& gate, size_t count, size_t ahead) {
  CsrStream::Options options;
  options.count = count;
  options.ahead = ahead;
  options.keep_one_in = 3;
  options.make = gate.Maker();
  return options;
}

TEST(CsrStream, KeepsNoMoreReadyThanItMayAndMakesThemAsTheyGo) {
  Gate gate;
  gate.Open(100);
  CsrStream stream(StreamOf(gate, 10, 4));
  EXPECT_EQ(stream.count(), 10);
  stream.Fill();
  EXPECT_EQ(gate.made(), 4);
  for (size_t number = 0; number < 10; ++number) {
    EXPECT_EQ(stream.Take(number), GrpcFrame(CsrMessage(std::to_string(number + 1))));
    stream.Fill();
    EXPECT_LE(gate.made(), static_cast<int>(number) + 1 + 4);
  }
  EXPECT_EQ(gate.made(), 10) << "no more than there are";
  EXPECT_EQ(stream.Take(10), std::nullopt);
  EXPECT_GT(stream.MadePerSecond(), 0);
}

TEST(CsrStream, GivesNothingForARequestThatIsNotMadeYetAndTheNextOneLater) {
  Gate gate;
  CsrStream stream(StreamOf(gate, 10, 1));
  EXPECT_EQ(stream.Take(0), std::nullopt);
  EXPECT_EQ(stream.Take(1), std::nullopt);
  gate.Open(1);
  stream.Fill();
  EXPECT_EQ(stream.Take(2), GrpcFrame(CsrMessage("1")));
  gate.Open(100);  // so that its thread ends
}

TEST(CsrStream, RemembersTheCsrsBehindTheAnswersThatAreChecked) {
  Gate gate;
  gate.Open(100);
  CsrStream stream(StreamOf(gate, 10, 10));
  stream.Fill();
  for (size_t number = 0; number < 8; ++number) stream.Take(number);
  EXPECT_EQ(stream.Kept(0), "1");
  EXPECT_EQ(stream.Kept(6), "7");
}

TEST(CsrStream, EndsInTheMiddle) {
  Gate gate;
  gate.Open(100);
  CsrStream stream(StreamOf(gate, 1000, 2));
  stream.Fill();
  stream.Stop();
  EXPECT_LE(gate.made(), 3);
}

TEST(CsrReport, BlamesTheToolForRequestsThatItDidNotMakeInTime) {
  CsrReport report;
  report.rounds.emplace_back();
  report.rounds.back().not_made = 7;
  EXPECT_EQ(ToJson(report)["rounds"][0]["not_made"], 7);
  std::ostringstream out;
  PrintForPeople(report, out);
  EXPECT_THAT(out.str(), HasSubstr("7 requests: this tool did not make them in time"));
}

CsrRound MeasuredRound() {
  CsrRound round;
  round.requests = 5;
  round.ok = 4;
  round.errors = {{"RESOURCE_EXHAUSTED", 1}};
  round.wall = absl::Seconds(2);
  round.server_cpu = absl::Microseconds(800);
  round.arithmetic = absl::Microseconds(80);
  for (int i = 0; i < 4; ++i) round.latency.Record(absl::Milliseconds(3));
  round.error_latency.Record(absl::Milliseconds(1));
  return round;
}

TEST(CsrReport, CountsByCertificatesNotByRequests) {
  CsrReport report;
  report.rounds.push_back(MeasuredRound());
  const nlohmann::json round = ToJson(report).at("rounds").at(0);
  EXPECT_EQ(round.at("requests"), 5);
  EXPECT_EQ(round.at("ok"), 4);
  EXPECT_EQ(round.at("errors"), (nlohmann::json{{"RESOURCE_EXHAUSTED", 1}}));
  EXPECT_EQ(round.at("per_second"), 2.0);
  EXPECT_EQ(round.at("cpu_us"), 200.0);
  EXPECT_EQ(round.at("ratio"), 2.5);
  EXPECT_EQ(round.at("latency_ms").at("p999"), 3.0);
  EXPECT_EQ(round.at("error_latency_ms").at("max"), 1.0);
}

TEST(CsrReport, WhatIsNotKnownIsNull) {
  CsrReport report;
  report.rounds.emplace_back();
  const nlohmann::json json = ToJson(report);
  for (const char* name : {"cpu_us", "cpu_seconds", "arithmetic_us", "ratio", "latency_ms", "error_latency_ms"}) {
    EXPECT_TRUE(json.at("rounds").at(0).at(name).is_null()) << name;
  }
  EXPECT_TRUE(json.at("memory_mib").is_null());
  EXPECT_TRUE(json.at("memory_peak_mib").is_null());
}

TEST(CsrReport, TheHistogramIsOfAllRounds) {
  CsrReport report;
  report.rounds = {MeasuredRound(), MeasuredRound()};
  EXPECT_EQ(ToJson(report).at("histogram"), (nlohmann::json::array({{{"up_to_ms", 5.0}, {"count", 8}}})));
}

std::string ForPeople(const CsrReport& report) {
  std::ostringstream out;
  PrintForPeople(report, out);
  return out.str();
}

TEST(CsrReport, PeopleReadErrorsInTheServersWords) {
  CsrReport report;
  report.rounds.push_back(MeasuredRound());
  report.error_messages = {{"RESOURCE_EXHAUSTED", "the signing queue is full"}};
  EXPECT_THAT(ForPeople(report), HasSubstr("1 x RESOURCE_EXHAUSTED: the signing queue is full"));
}

TEST(CsrReport, PeopleSeeBars) {
  CsrReport report;
  report.rounds.push_back(MeasuredRound());
  EXPECT_THAT(ForPeople(report), HasSubstr("up to        5 ms         4 |" + std::string(50, '#') + "\n"));
}

TEST(CsrReport, PeopleAreToldWhenTheLoadIsTheLimit) {
  CsrReport report;
  report.rounds.push_back(MeasuredRound());
  EXPECT_THAT(ForPeople(report), testing::Not(HasSubstr("note")));
  report.rounds.back().load_cpu = absl::Milliseconds(1900);
  EXPECT_THAT(ForPeople(report), HasSubstr("this tool used 95 % of a core"));
}

TEST(CsrFactory, EveryRequestOfEveryKeyTypeIsAnother) {
  for (const auto& [name, type] : KeyTypes()) {
    if (type == KeyType::kRsa2048) continue;  // a pool: see below
    const std::vector<std::string> csrs = MakeCsrs(5, "spiffe://a.test/x", type);
    EXPECT_EQ(std::set<std::string>(csrs.begin(), csrs.end()).size(), 5) << name;
  }
}

TEST(CsrFactory, RsaKeysAreSharedBeyondThePool) {
  const std::vector<std::string> csrs = MakeCsrs(kRsaKeysMax + 1, "spiffe://a.test/x", KeyType::kRsa2048);
  EXPECT_EQ(std::set<std::string>(csrs.begin(), csrs.end()).size(), kRsaKeysMax);
  EXPECT_EQ(csrs.front(), csrs.back());
}

}  // namespace
}  // namespace meshca::bench
