// Listing and watching, through all that an API server and the way to it may do.
#include "ca/kubernetes/list_watch.h"

#include <malloc.h>

#include <algorithm>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/http/patience.h"
#include "test/ca/kubernetes/fake_api_server.h"

namespace meshca::kubernetes {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

using Notes = std::vector<std::string>;

// Writes down what it is told: "begin", "end", "+name", "-name".
class NotingSink final : public ObjectSink {
 public:
  void OnListBegin() override { Note("begin"); }
  void OnListEnd() override { Note("end"); }
  void OnObject(const PickedFields& object) override { Note(absl::StrCat("+", object.Text(0))); }
  void OnGone(const PickedFields& object) override { Note(absl::StrCat("-", object.Text(0))); }

  // The first `count` notes; fewer when they did not come in time.
  Notes Await(size_t count) {
    MutexLock lock(mutex_);
    while (notes_.size() < count && changed_.WaitFor(mutex_, http::kPatience)) {
    }
    return {notes_.begin(), notes_.begin() + static_cast<ptrdiff_t>(std::min(count, notes_.size()))};
  }
  Notes All() {
    MutexLock lock(mutex_);
    return notes_;
  }

 private:
  void Note(std::string text) {
    MutexLock lock(mutex_);
    notes_.push_back(std::move(text));
    changed_.NotifyAll();
  }

  Mutex mutex_;
  CondVar changed_;
  Notes notes_ ABSL_GUARDED_BY(mutex_);
};

ListWatchOptions FollowPods() {
  ListWatchOptions options;
  options.resource = Pods();
  options.paths = {"metadata.name"};
  options.list_timeout = options.silence = 2 * http::kPatience;
  options.retry_first = absl::Milliseconds(1);
  options.retry_last = absl::Milliseconds(4);
  return options;
}

// An API server of these steps, and what follows its pods.
class Followed {
 public:
  explicit Followed(std::vector<FakeApiServer::Step> steps, ListWatchOptions options = FollowPods())
      : api(std::move(steps)),
        server(ConnectTo(api.server())),
        watch(std::make_unique<ListWatch>(std::move(options), *server, sink, SystemClock(), SystemEntropy())) {}

  // What was asked for, as "list", "list NEXT" or "watch VERSION".
  Notes AwaitAsked(size_t count) {
    Notes calls;
    for (const FakeApiServer::Asked& asked : api.Await(count)) {
      const std::string next = After(asked.line, "continue=");
      if (absl::StrContains(asked.line, "watch=true")) {
        calls.push_back(absl::StrCat("watch ", After(asked.line, "resourceVersion=")));
      } else {
        calls.push_back(next.empty() ? "list" : absl::StrCat("list ", next));
      }
    }
    return calls;
  }

  static std::string After(const std::string& line, const std::string& name) {
    const size_t at = line.find(name);
    return at == std::string::npos ? "" : line.substr(at + name.size(), line.find('&', at) - at - name.size());
  }

  FakeApiServer api;
  NotingSink sink;
  std::unique_ptr<ApiServer> server;
  std::unique_ptr<ListWatch> watch;
};

std::string Page(const Notes& names, const std::string& version, const std::string& next = "") {
  return HttpAnswer(200, PageOf(names, version, next));
}
// A watch that says all this and ends in order.
std::string WholeWatch(const Notes& events) {
  std::string answer = kChunkedHead;
  for (const std::string& event : events) answer += Chunk(event);
  return answer + kLastChunk;
}
std::string Bookmark(const std::string& version) {
  return EventOf("BOOKMARK", absl::StrCat(R"({"kind":"Pod","metadata":{"resourceVersion":")", version, R"("}})"));
}

TEST(ListWatch, ListsInPagesAndWatchesOnFromThere) {
  Followed pods({Answer(Page({"a", "b"}, "10", "next/1")), Answer(Page({"c"}, "10")),
                 Answer(WholeWatch({EventOf("ADDED", PodNamed("d", "11")), EventOf("MODIFIED", PodNamed("a", "12")),
                                    EventOf("DELETED", PodNamed("b", "13")), Bookmark("20")}))});
  EXPECT_THAT(pods.AwaitAsked(4), ElementsAre("list", "list next%2F1", "watch 10", "watch 20"));
  EXPECT_THAT(pods.sink.All(), ElementsAre("begin", "+a", "+b", "+c", "end", "+d", "+a", "-b"));
  EXPECT_TRUE(pods.watch->LastError().ok());
  EXPECT_LT(pods.watch->Age(), http::kPatience);
  EXPECT_EQ(pods.watch->lists(), 1u);
  const std::vector<FakeApiServer::Asked> asked = pods.api.Await(4);
  EXPECT_EQ(asked[0].line, "/prefix/api/v1/pods?limit=500");
  EXPECT_THAT(asked[2].line, HasSubstr("&allowWatchBookmarks=true&"));
  const int seconds = std::stoi(Followed::After(asked[2].line, "timeoutSeconds="));
  EXPECT_GE(seconds, 300);
  EXPECT_LE(seconds, 600);
}

TEST(ListWatch, AsksOnlyForWhatItsSelectorsSay) {
  ListWatchOptions options = FollowPods();
  options.namespace_name = "web";
  options.field_selector = "spec.nodeName=n1";
  options.label_selector = "a/b in (c)";
  options.page = 7;
  Followed pods({Answer(Page({}, "5"))}, options);
  const std::vector<FakeApiServer::Asked> asked = pods.api.Await(2);
  ASSERT_EQ(asked.size(), 2u);
  const std::string selectors = "&fieldSelector=spec.nodeName%3Dn1&labelSelector=a%2Fb%20in%20%28c%29";
  EXPECT_EQ(asked[0].line, "/prefix/api/v1/namespaces/web/pods?limit=7" + selectors);
  EXPECT_THAT(asked[1].line, AllOf(HasSubstr("&resourceVersion=5"), EndsWith(selectors)));
}

struct GoneCase {
  const char* name;
  std::string answer;  // to the watch from version 10
};

class ListWatchGone : public testing::TestWithParam<GoneCase> {};

TEST_P(ListWatchGone, IsListedAgainAndWhatVanishedMeanwhileIsNotThere) {
  Followed pods({Answer(Page({"a", "b"}, "10")), Answer(GetParam().answer), Answer(Page({"b", "c"}, "30"))});
  EXPECT_THAT(pods.AwaitAsked(4), ElementsAre("list", "watch 10", "list", "watch 30"));
  EXPECT_THAT(pods.sink.All(), ElementsAre("begin", "+a", "+b", "end", "begin", "+b", "+c", "end"));
  EXPECT_EQ(pods.watch->lists(), 2u);
}

INSTANTIATE_TEST_SUITE_P(
    Watch, ListWatchGone,
    testing::Values(GoneCase{"Http410", HttpAnswer(410, StatusOf(410, "Expired", "too old resource version"))},
                    GoneCase{"Event410",
                             WholeWatch({EventOf("ERROR", StatusOf(410, "Expired", "too old resource version"))})},
                    GoneCase{"FutureVersion", HttpAnswer(504, StatusOf(504, "Timeout", "Too large resource version",
                                                                       "ResourceVersionTooLarge"))},
                    GoneCase{"FutureVersionEvent",
                             WholeWatch({EventOf("ERROR", StatusOf(504, "Timeout", "Too large resource version"))})},
                    GoneCase{"NotJson", WholeWatch({"{\"type\":\"ADDED\",}"})},
                    GoneCase{"NoEvent", WholeWatch({PageOf({"x"}, "9")})}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ListWatch, BeginsTheListAnewWhenItsNextPageIsNoLongerKept) {
  Followed pods({Answer(Page({"a"}, "10", "p2")), Answer(HttpAnswer(410, StatusOf(410, "Expired", "too old"))),
                 Answer(Page({"a", "b"}, "11"))});
  EXPECT_THAT(pods.AwaitAsked(4), ElementsAre("list", "list p2", "list", "watch 11"));
  EXPECT_THAT(pods.sink.All(), ElementsAre("begin", "+a", "begin", "+a", "+b", "end"));
}

TEST(ListWatch, AsksForAPageAgainWhenTheApiServerDiesInTheMiddleOfIt) {
  const std::string page = Page({"b", "c"}, "10");
  Followed pods({Answer(Page({"a"}, "10", "p2")), BreakAfter(page.substr(0, page.find("\"c\"") + 3)), Answer(page)});
  EXPECT_THAT(pods.AwaitAsked(4), ElementsAre("list", "list p2", "list p2", "watch 10"));
  EXPECT_THAT(pods.sink.All(), ElementsAre("begin", "+a", "+b", "+b", "+c", "end"));
}

TEST(ListWatch, AsksForSmallerPagesWhereOneFails) {
  const std::string busy = HttpAnswer(504, StatusOf(504, "Timeout", "did not complete within the allotted timeout"));
  ListWatchOptions options = FollowPods();
  options.page = 24;
  Followed pods({Answer(busy), Answer(busy), Answer(busy), Answer(Page({"a"}, "10", "p2")),
                 Answer(Page({"b"}, "10", "p3")), Answer(Page({"c"}, "10"))},
                options);
  ASSERT_EQ(pods.AwaitAsked(7).size(), 7u);
  std::vector<std::string> limits;
  for (const FakeApiServer::Asked& asked : pods.api.Await(6)) {
    const size_t begin = asked.line.find("limit=");
    limits.push_back(asked.line.substr(begin, asked.line.find('&', begin) - begin));
    if (limits.size() == 6) break;
  }
  EXPECT_THAT(limits, ElementsAre("limit=24", "limit=12", "limit=10", "limit=10", "limit=20", "limit=24"));
}

TEST(ListWatch, APageThatWasTooLargeIsNotAskedForAgainBeforeTheListEnds) {
  const std::string busy = HttpAnswer(504, StatusOf(504, "Timeout", "did not complete within the allotted timeout"));
  const std::string gone = HttpAnswer(410, StatusOf(410, "Expired", "the continue is too old"));
  ListWatchOptions options = FollowPods();
  options.page = 40;
  // The third one takes the list back to its beginning.
  Followed pods({Answer(busy), Answer(Page({"a"}, "10", "p2")), Answer(gone), Answer(Page({"a"}, "11", "p2")),
                 Answer(Page({"b"}, "11", "p3")), Answer(Page({"c"}, "11", "p4")), Answer(Page({"d"}, "11")),
                 Answer(gone), Answer(Page({"a"}, "12", "p2")), Answer(Page({"b"}, "12"))},
                options);
  std::vector<std::string> limits;
  for (const FakeApiServer::Asked& asked : pods.api.Await(11)) limits.push_back(Followed::After(asked.line, "limit="));
  ASSERT_EQ(limits.size(), 11u);
  limits.resize(10);
  EXPECT_THAT(limits, ElementsAre("40", "20", "20", "10", "20", "20", "20", "", "20", "40")) << "\"\": the watch";
}

TEST(ListWatch, WatchesOnFromTheLastEventWhenTheApiServerDiesInTheMiddleOfAnother) {
  Followed pods({Answer(Page({"a"}, "10")),
                 BreakAfter(kChunkedHead + Chunk(EventOf("ADDED", PodNamed("b", "11"))) +
                            Chunk(R"({"type":"DELETED","object":{"metadata":{"name":"a","resourceVersion":"12"}})"))});
  EXPECT_THAT(pods.AwaitAsked(3), ElementsAre("list", "watch 10", "watch 11"));
  EXPECT_THAT(pods.sink.All(), ElementsAre("begin", "+a", "end", "+b"));
  EXPECT_THAT(std::string(pods.watch->LastError().message()), HasSubstr("watch pods"));
  EXPECT_EQ(pods.watch->LastError().code(), absl::StatusCode::kUnavailable);
}

TEST(ListWatch, BeginsAWatchAnewOnWhichNothingComesAndThenTheList) {
  ListWatchOptions options = FollowPods();
  options.silence = absl::Milliseconds(1200);
  Followed pods({Answer(Page({"a"}, "10")), HangAfter(kChunkedHead), HangAfter(kChunkedHead)}, options);
  EXPECT_THAT(pods.AwaitAsked(4), ElementsAre("list", "watch 10", "watch 10", "list"));
  EXPECT_GE(pods.watch->Age(), options.silence * 2) << "nothing was heard since the list";
  EXPECT_TRUE(pods.watch->LastError().ok()) << "a quiet resource is none: " << pods.watch->LastError();
}

TEST(ListWatch, SaysThatAnApiServerAnswersNothing) {
  ListWatchOptions options = FollowPods();
  options.list_timeout = absl::Milliseconds(50);
  Followed pods({HangAfter(""), HangAfter("")}, options);
  EXPECT_THAT(pods.AwaitAsked(2), ElementsAre("list", "list"));
  EXPECT_EQ(pods.watch->LastError().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(pods.watch->Age(), absl::InfiniteDuration());
}

TEST(ListWatch, AWatchThatEndsAtOnceIsAnErrorAndNoBusyLoop) {
  Followed pods({Answer(Page({"a"}, "10")), Answer(WholeWatch({})), Answer(WholeWatch({}))});
  EXPECT_THAT(pods.AwaitAsked(4), ElementsAre("list", "watch 10", "watch 10", "watch 10"));
  EXPECT_THAT(std::string(pods.watch->LastError().message()), HasSubstr("it ended at once, without an event"));
}

// Has every pause be as long as it may.
class GreatestEntropy final : public EntropySource {
 public:
  void Fill(std::span<uint8_t> bytes) override { std::fill(bytes.begin(), bytes.end(), 0xff); }
};

TEST(ListWatch, PagesFromWhichNoWatchGoesOnAreListedMoreAndMoreSeldom) {
  ListWatchOptions options = FollowPods();
  options.retry_first = absl::Milliseconds(10);
  options.retry_last = absl::Hours(1);
  std::vector<FakeApiServer::Step> steps;
  for (int list = 0; list < 5; ++list) {
    steps.push_back(Answer(Page({"a"}, "10", "p2")));
    steps.push_back(Answer(Page({"b"}, "10")));
    steps.push_back(Answer(HttpAnswer(410, StatusOf(410, "Expired", "too old resource version"))));
  }
  FakeApiServer api(std::move(steps));
  const auto server = ConnectTo(api.server());
  NotingSink sink;
  GreatestEntropy entropy;
  ListWatch watch(options, *server, sink, SystemClock(), entropy);
  const std::vector<FakeApiServer::Asked> asked = api.Await(13);
  ASSERT_EQ(asked.size(), 13u);
  EXPECT_GE(asked[12].at - asked[11].at, absl::Milliseconds(75)) << "10, 20, 40, 80";
}

TEST(ListWatch, LeavesTheApiServerAloneAsLongAsItAsks) {
  const std::string busy = HttpAnswer(429, StatusOf(429, "TooManyRequests", "slow down"), "Retry-After: 1\r\n");
  Followed pods({Answer(Page({"a"}, "10", "p2")), Answer(busy), Answer(Page({"b"}, "10")), Answer(busy)});
  EXPECT_THAT(pods.AwaitAsked(5), ElementsAre("list", "list p2", "list p2", "watch 10", "watch 10"));
  EXPECT_THAT(pods.sink.All(), ElementsAre("begin", "+a", "+b", "end"));
  const std::vector<FakeApiServer::Asked> asked = pods.api.Await(5);
  EXPECT_GE(asked[2].at - asked[1].at, absl::Seconds(1));
  EXPECT_GE(asked[4].at - asked[3].at, absl::Seconds(1));
  EXPECT_THAT(std::string(pods.watch->LastError().message()), HasSubstr("429"));
}

TEST(ListWatch, SaysWhatItMayNotAndGoesOnWhenItMay) {
  const std::string text = R"(pods is forbidden: User \"m\" cannot list resource \"pods\" in API group \"\")";
  Followed pods({Answer(HttpAnswer(401, StatusOf(401, "Unauthorized", "Unauthorized"))),
                 Answer(HttpAnswer(403, StatusOf(403, "Forbidden", text))), HangAfter("")});
  ASSERT_EQ(pods.AwaitAsked(3).size(), 3u);
  const absl::Status status = pods.watch->LastError();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("list pods: HTTP 403 Forbidden: pods is forbidden"),
                                                   HasSubstr("{apiGroups: [\"\"], resources: [pods], verbs: [list]}")));

  Followed mended({Answer(HttpAnswer(403, StatusOf(403, "Forbidden", text))), Answer(Page({"a"}, "10"))});
  EXPECT_THAT(mended.AwaitAsked(3), ElementsAre("list", "list", "watch 10"));
  EXPECT_TRUE(mended.watch->LastError().ok());
}

TEST(ListWatch, ListsAgainWhatWasNoList) {
  const std::string page = PageOf({"a", "b"}, "10");
  Followed pods({Answer(HttpAnswer(200, page.substr(0, page.size() - 20))), Answer(HttpAnswer(200, "<html>")),
                 Answer(HttpAnswer(200, page))});
  EXPECT_THAT(pods.AwaitAsked(4), ElementsAre("list", "list", "list", "watch 10"));
  EXPECT_THAT(pods.sink.All(), ElementsAre("begin", "+a", "begin", "begin", "+a", "+b", "end"));
}

TEST(ListWatch, StopsWhateverIsUnderWay) {
  const std::vector<std::vector<FakeApiServer::Step>> stages = {
      {},                                                                     // nothing answered
      {HangAfter(Page({"a", "b"}, "10").substr(0, 250))},                     // in a page
      {Answer(Page({"a"}, "10", "p2"))},                                      // between two pages
      {Answer(Page({"a"}, "10"))},                                            // a watch asked for
      {Answer(Page({"a"}, "10")), HangAfter(kChunkedHead + Chunk("{\"ty"))},  // in an event
  };
  for (size_t i = 0; i < stages.size(); ++i) {
    SCOPED_TRACE(i);
    Followed pods(stages[i]);
    ASSERT_EQ(pods.AwaitAsked(std::max<size_t>(stages[i].size(), 1)).size(), std::max<size_t>(stages[i].size(), 1));
    pods.watch->Stop();
    const Notes notes = pods.sink.All();
    pods.watch->Stop();
    pods.watch.reset();
    EXPECT_EQ(pods.sink.All(), notes);
  }
}

TEST(ListWatch, StopsInAPause) {
  ListWatchOptions options = FollowPods();
  options.retry_first = options.retry_last = 100 * http::kPatience;
  const std::string busy = HttpAnswer(429, "", "Retry-After: 100\r\n");
  Followed pods({Answer(busy)}, options);
  ASSERT_EQ(pods.AwaitAsked(1).size(), 1u);
  const absl::Duration began = SystemClock().SinceBoot();
  pods.watch->Stop();
  EXPECT_LT(SystemClock().SinceBoot() - began, http::kPatience);
}

TEST(ListWatch, StopsWhenTheApiServersClientHasBeenStoppedBefore) {
  Followed pods({Answer(Page({"a"}, "10"))});
  EXPECT_THAT(pods.sink.Await(3), ElementsAre("begin", "+a", "end"));
  pods.server->Stop();
  pods.watch->Stop();
}

// Keeps what is there, as users of a ListWatch do.
class TableSink final : public ObjectSink {
 public:
  void OnListBegin() override { listed_.clear(); }
  void OnListEnd() override {
    names_ = listed_;
    largest_ = std::max(largest_, InUse());
  }
  void OnObject(const PickedFields& object) override {
    listed_.insert(std::string(object.Text(0)));
    if (++told_ % 1000 == 0) largest_ = std::max(largest_, InUse());
  }
  void OnGone(const PickedFields& object) override { names_.erase(std::string(object.Text(0))); }

  static size_t InUse() {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
  }
  size_t told() const { return told_; }
  size_t largest() const { return largest_; }

 private:
  std::set<std::string> listed_, names_;
  size_t told_ = 0;
  size_t largest_ = 0;
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kPages = 4;
constexpr bool kCountsMemory = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr int kPages = 4;
constexpr bool kCountsMemory = false;
#else
constexpr int kPages = 200;
constexpr bool kCountsMemory = true;
#endif
#else
constexpr int kPages = 200;
constexpr bool kCountsMemory = true;
#endif

TEST(ListWatch, AListOf100000PodsOf10KilobytesNeverStandsInMemory) {
  // The names repeat from page to page, so the table stays small: what grows is the reader's.
  std::vector<std::string> pods;
  const std::string filler(10'000, 'x');
  for (int i = 0; i < 500; ++i) {
    pods.push_back(
        absl::StrCat(R"({"metadata":{"name":"pod-)", i, R"("},"spec":{"containers":[{"args":[")", filler, R"("]}]}})"));
  }
  const std::string items = absl::StrCat(R"(,"items":[)", absl::StrJoin(pods, ","), "]}");
  const std::string more = HttpAnswer(200, R"({"metadata":{"resourceVersion":"1","continue":"more"})" + items);
  const std::string last = HttpAnswer(200, R"({"metadata":{"resourceVersion":"1","continue":""})" + items);
  pods.clear();
  std::vector<FakeApiServer::Step> steps(kPages - 1, [&more](http::ScriptedPeer& peer) { peer.Send(more); });
  steps.push_back([&last](http::ScriptedPeer& peer) { peer.Send(last); });
  FakeApiServer api(std::move(steps));
  const auto server = ConnectTo(api.server());
  TableSink sink;
  const size_t before = TableSink::InUse();
  ListWatch watch(FollowPods(), *server, sink, SystemClock(), SystemEntropy());
  ASSERT_EQ(api.Await(kPages + 1).size(), static_cast<size_t>(kPages + 1));
  watch.Stop();
  EXPECT_EQ(sink.told(), 500u * kPages);
  if (kCountsMemory) {
    EXPECT_LT(sink.largest(), before + 2 * 1024 * 1024);
  }
}

}  // namespace
}  // namespace meshca::kubernetes
