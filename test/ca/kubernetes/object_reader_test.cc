// Lists and watches as the API server sends them, cut into pieces anywhere.
#include "ca/kubernetes/object_reader.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca::kubernetes {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

const std::vector<std::string> kPaths = {"metadata.name",    "metadata.labels.*",
                                         "spec.nodeName",    "status.conditions[].type",
                                         "spec.hostNetwork", "metadata.generation"};

constexpr char kPods[] = R"({"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"42","continue":"page 2",
  "remainingItemCount":7},"items":[
  {"metadata":{"name":"web-1","generation":3,"labels":{"app":"web","a/b":"c\u00e9\n"},"managedFields":[{"name":"no",
    "fieldsV1":{"f:metadata":{"name":"neither"}}}]},"spec":{"nodeName":"n1","hostNetwork":true,"containers":[{"nodeName":"no"}]},
    "status":{"conditions":[{"type":"Ready","status":"True"},{"type":"Scheduled"}]}},
  {"metadata":{"name":"db-1","labels":null},"spec":{"nodeName":{"name":"x"}},"status":{"conditions":"none"}},
  {"spec":{},"metadata":{"name":"last"}}]}
)";

struct List {
  std::vector<PickedFields> objects;
  absl::Status status;
  std::string version, next;
};

// Reads `text` in pieces of `size` bytes.
List ReadList(absl::string_view text, size_t size) {
  List list;
  ListReader reader(kPaths, [&list](PickedFields object) { list.objects.push_back(std::move(object)); });
  for (size_t at = 0; at < text.size() && list.status.ok(); at += size)
    list.status = reader.Take(text.substr(at, size));
  if (list.status.ok()) list.status = reader.End();
  list.version = reader.resource_version();
  list.next = reader.next_page();
  return list;
}

TEST(ListReader, PicksTheFieldsOfEachObjectHoweverTheTextIsCut) {
  for (const size_t size : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, size_t{64}, sizeof kPods}) {
    const List list = ReadList(kPods, size);
    ASSERT_TRUE(list.status.ok()) << size << ": " << list.status;
    ASSERT_THAT(list.objects, SizeIs(3)) << size;
    EXPECT_EQ(list.version, "42");
    EXPECT_EQ(list.next, "page 2");
    const PickedFields& web = list.objects[0];
    EXPECT_EQ(web.Text(0), "web-1");
    EXPECT_THAT(web.All(1), ElementsAre(Pair("app", "web"), Pair("a/b", "c\u00e9\n")));
    EXPECT_EQ(web.Text(2), "n1");
    EXPECT_THAT(web.All(3), ElementsAre(Pair("", "Ready"), Pair("", "Scheduled")));
    EXPECT_EQ(web.Text(4), "true");
    EXPECT_EQ(web.Text(5), "3");
    EXPECT_EQ(list.objects[1].Text(0), "db-1");
    EXPECT_THAT(list.objects[1].All(1), IsEmpty());
    EXPECT_EQ(list.objects[1].Text(2), "") << "an object where a text was expected";
    EXPECT_THAT(list.objects[1].All(3), IsEmpty());
    EXPECT_EQ(list.objects[2].Text(0), "last");
  }
}

TEST(ListReader, AnEmptyListIsAListAndAnythingElseIsNone) {
  EXPECT_TRUE(ReadList(R"({"metadata":{"resourceVersion":"1"},"items":[]})", 5).status.ok());
  EXPECT_TRUE(ReadList(R"({"items":null,"metadata":{"resourceVersion":"1"}})", 5).status.ok());
  for (const char* text : {"", "{}", R"({"kind":"Status","code":200})", R"({"items":[]})", "[]", "null",
                           R"({"metadata":{"resourceVersion":"1"},"items":[{"metadata":)", "<html>", R"({"items":[}]})",
                           R"({"metadata":{"resourceVersion":"1"},"items":[]} x)"}) {
    EXPECT_EQ(ReadList(text, 3).status.code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ListReader, IsBoundedWhateverItIsSent) {
  const std::string deep = absl::StrCat(R"({"metadata":{"resourceVersion":"1"},"items":[)", std::string(10000, '['));
  EXPECT_THAT(std::string(ReadList(deep, 100).status.message()), HasSubstr("not JSON"));
  const std::string longer(2 * JsonStream::kTextBytesMax, 'x');
  const List list = ReadList(
      absl::StrCat(R"({"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":")", longer, R"("}}]})"), 1000);
  ASSERT_TRUE(list.status.ok()) << list.status;
  ASSERT_THAT(list.objects, SizeIs(1));
  EXPECT_LE(list.objects[0].Text(0).size(), JsonStream::kTextBytesMax);
  std::string labels;
  for (int i = 0; i < 5000; ++i) absl::StrAppend(&labels, i == 0 ? "" : ",", "\"l", i, "\":\"v\"");
  const List many = ReadList(
      absl::StrCat(R"({"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"labels":{)", labels, "}}}]}"), 1000);
  ASSERT_THAT(many.objects, SizeIs(1));
  EXPECT_THAT(many.objects[0].All(1), SizeIs(FieldPicker::kOfOnePathMax));
}

TEST(PickFields, TakesNamesWithDotsWholeNumbersAndEmptyTexts) {
  const auto fields = PickFields(
      R"({"metadata":{"annotations":{"istio.io/rev":"1-31","other":"x"},"labels":{"empty":"","n":null},"generation":
          12345678901234},"spec":{"big":18446744073709551615,"part":0.1,"less":-7,"list":["","b"]}})",
      {R"(metadata.annotations.istio\.io/rev)", "metadata.labels.*", "metadata.generation", "spec.big", "spec.part",
       "spec.less", "spec.list[]", "metadata.annotations"});
  ASSERT_TRUE(fields.ok()) << fields.status();
  EXPECT_EQ(fields->Text(0), "1-31");
  EXPECT_THAT(fields->All(1), ElementsAre(Pair("empty", "")));
  EXPECT_EQ(fields->Text(2), "12345678901234");
  EXPECT_EQ(fields->Text(3), "18446744073709551615");
  EXPECT_EQ(std::stod(std::string(fields->Text(4))), 0.1);
  EXPECT_EQ(fields->Text(5), "-7");
  EXPECT_THAT(fields->All(6), ElementsAre(Pair("", ""), Pair("", "b")));
  EXPECT_EQ(fields->Text(7), "") << "a mapping is no text";
}

TEST(PickFields, APathThatIsNamedTwiceHasItsTextTwice) {
  const auto fields = PickFields(R"({"metadata":{"resourceVersion":"7"}})",
                                 {"metadata.resourceVersion", "metadata.name", "metadata.resourceVersion"});
  EXPECT_EQ(fields->Text(0), "7");
  EXPECT_EQ(fields->Text(2), "7");
}

TEST(PickFields, TakesOneObjectAndNothingElse) {
  EXPECT_TRUE(PickFields(" {} \n", {"a"}).ok());
  for (const char* text : {"", "[]", "1 ", "{}{}", "[{}]", "{}[]", "{\"a\":", "{'a':1}"}) {
    EXPECT_EQ(PickFields(text, {"a"}).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(PickFields, KeepsNoMoreOfOneObjectThanTheApiServerStores) {
  const std::string half(JsonStream::kTextBytesMax, 'x');
  std::string json = "{\"a\":[\"" + half + "\"";
  for (int i = 0; i < 20; ++i) absl::StrAppend(&json, ",\"", half, "\"");
  const auto fields = PickFields(json + "]}", {"a[]"});
  ASSERT_TRUE(fields.ok()) << fields.status();
  EXPECT_THAT(fields->All(0), SizeIs(FieldPicker::kOfOneObjectBytesMax / JsonStream::kTextBytesMax));
}

constexpr char kWatch[] = R"({"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"5"}}}
{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"6"},"type":"mine"}}
{"object":{"metadata":{"resourceVersion":"7","name":"b"}},"type":"DELETED"}
{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"9"}}}
{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}}
)";

TEST(WatchReader, ReadsOneEventAfterAnotherHoweverTheTextIsCut) {
  for (const size_t size : {size_t{1}, size_t{5}, size_t{100}, sizeof kWatch}) {
    std::vector<WatchEvent> events;
    WatchReader reader(kPaths, [&events](WatchEvent event) { events.push_back(std::move(event)); });
    const absl::string_view text(kWatch);
    for (size_t at = 0; at < text.size(); at += size) ASSERT_TRUE(reader.Take(text.substr(at, size)).ok()) << size;
    ASSERT_THAT(events, SizeIs(5)) << size;
    EXPECT_EQ(events[0].kind, WatchEvent::Kind::kAdded);
    EXPECT_EQ(events[0].object.Text(0), "a");
    EXPECT_EQ(events[0].resource_version, "5");
    EXPECT_EQ(events[1].kind, WatchEvent::Kind::kModified);
    EXPECT_EQ(events[2].kind, WatchEvent::Kind::kDeleted);
    EXPECT_EQ(events[2].object.Text(0), "b");
    EXPECT_EQ(events[3].kind, WatchEvent::Kind::kBookmark);
    EXPECT_EQ(events[3].resource_version, "9");
    EXPECT_EQ(events[4].kind, WatchEvent::Kind::kError);
    EXPECT_EQ(events[4].code, 410);
    EXPECT_EQ(events[4].message, "too old resource version");
  }
}

TEST(WatchReader, AnEventWithoutAnObjectIsAnError) {
  int events = 0;
  WatchReader reader(kPaths, [&events](const WatchEvent&) { ++events; });
  const absl::Status status =
      reader.Take(R"({"type":"ADDED","object":{"metadata":{"name":"a"}}} {"type":"DELETED","object":"a"})");
  EXPECT_THAT(std::string(status.message()), HasSubstr("without an object: DELETED"));
  EXPECT_EQ(events, 1);
}

TEST(WatchReader, AnUnknownEventIsAnErrorThatNamesIt) {
  int events = 0;
  WatchReader reader(kPaths, [&events](const WatchEvent&) { ++events; });
  const absl::Status status = reader.Take(R"({"type":"EXPLODED\n","object":{}} {"type":"ADDED","object":{}})");
  EXPECT_THAT(std::string(status.message()), HasSubstr("EXPLODED\\n"));
  EXPECT_EQ(events, 0);
  EXPECT_FALSE(reader.Take("{}").ok());
}

}  // namespace
}  // namespace meshca::kubernetes
