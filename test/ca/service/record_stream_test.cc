#include "ca/service/record_stream.h"

#include <gmock/gmock.h>

#include <atomic>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "test/ca/service/fake_rpc.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

constexpr size_t kQueue = 8;

class RecordStreamTest : public testing::Test {
 protected:
  // A stream whose request has arrived; what pushes to `sink` is the test's.
  void Open(absl::Duration stall_max = absl::Minutes(1)) {
    stream.SetHandler(std::make_unique<RecordStream>(stream, stall_max, [this](std::string bytes, auto given) {
      request = bytes;
      sink = given;
      return absl::OkStatus();
    }));
    stream.handler().OnMessage("request");
    stream.handler().OnHalfClose();
  }

  FakeStream stream{kQueue};
  std::string request;
  std::shared_ptr<RecordSink> sink;
};

TEST_F(RecordStreamTest, SendsEveryRecordInOrderThroughAQueueThatIsSmaller) {
  Open();
  EXPECT_EQ(request, "request");
  constexpr int kRecords = 1000;
  std::thread reader([&] {
    for (int i = 0; i < kRecords; ++i) ASSERT_TRUE(sink->Push(rpc::Frame(absl::StrCat(i))));
    sink->End(absl::OkStatus());
  });
  while (!stream.finished().has_value()) {
    stream.RunOnePost();
    // The client reads until nothing more is pending, as OnWritable refills the queue.
    while (stream.queued_messages() > 0) stream.ClientReads();
  }
  reader.join();
  EXPECT_THAT(*stream.finished(), IsOk());
  ASSERT_EQ(stream.read().size(), static_cast<size_t>(kRecords));
  for (int i = 0; i < kRecords; ++i) EXPECT_EQ(stream.read()[i], absl::StrCat(i));
}

TEST_F(RecordStreamTest, ReadsNoFurtherThanTheWindowUntilTheClientReads) {
  Open();
  std::atomic<size_t> pushed = 0;
  std::atomic<bool> gone = false;
  std::thread reader([&] {
    while (sink->Push(rpc::Frame("x"))) ++pushed;
    gone = true;
  });
  for (size_t i = 0; i < RecordSink::kWindow / RecordSink::kBatch; ++i) stream.RunOnePost();
  EXPECT_LE(pushed, RecordSink::kWindow + RecordSink::kBatch);
  EXPECT_FALSE(gone);
  stream.Close(absl::CancelledError("client went away"));
  reader.join();
  EXPECT_TRUE(gone);
}

TEST_F(RecordStreamTest, EndsAClientThatReadsNothing) {
  Open(absl::Milliseconds(20));
  std::thread reader([&] {
    while (sink->Push(rpc::Frame("x"))) {
    }
    sink->End(absl::OkStatus());
  });
  while (!stream.finished().has_value()) stream.RunOnePost();
  reader.join();
  EXPECT_THAT(*stream.finished(), StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("read nothing")));
}

TEST_F(RecordStreamTest, PassesTheErrorOfTheReader) {
  Open();
  sink->End(absl::UnavailableError("database away"));
  stream.RunOnePost();
  EXPECT_THAT(*stream.finished(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("database away")));
}

TEST_F(RecordStreamTest, RefusesNoRequestAndTwo) {
  stream.SetHandler(
      std::make_unique<RecordStream>(stream, absl::Minutes(1), [](std::string, auto) { return absl::OkStatus(); }));
  stream.handler().OnHalfClose();
  EXPECT_THAT(*stream.finished(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no request")));

  FakeStream second{kQueue};
  second.SetHandler(
      std::make_unique<RecordStream>(second, absl::Minutes(1), [](std::string, auto) { return absl::OkStatus(); }));
  second.handler().OnMessage("a");
  second.handler().OnMessage("b");
  EXPECT_THAT(*second.finished(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than one")));
}

}  // namespace
}  // namespace meshca
