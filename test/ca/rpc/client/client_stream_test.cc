// Streams: messages either way, the ends there are, and a peer that does not read.
#include <algorithm>

#include "ca/base/status.h"
#include "test/ca/rpc/client/client_fixture.h"

namespace meshca::rpc {
namespace {

using testing::ElementsAre;

class ClientStreamTest : public ClientTest {
 protected:
  bool EventuallyMessages(size_t count) {
    return Eventually([&] { return Messages().size() >= count; });
  }
  size_t ServerSideClosed(absl::StatusCode code) {
    MutexLock lock(chat_.mutex);
    return std::count_if(chat_.closed.begin(), chat_.closed.end(),
                         [code](const absl::Status& status) { return status.code() == code; });
  }
};

TEST_F(ClientStreamTest, EachMessageIsAnsweredAndAHalfCloseEndsItWell) {
  ServeOnSocket();
  const auto stream = Chat();
  EXPECT_TRUE(stream->Send("one"));
  EXPECT_TRUE(stream->Send("two"));
  stream->HalfClose();
  EXPECT_THAT(Closed(), IsOk());
  EXPECT_THAT(Messages(), ElementsAre("one", "two"));
  MutexLock lock(log_->mutex);
  EXPECT_EQ(log_->threads.size(), 1u);
  EXPECT_FALSE(log_->threads.contains(std::this_thread::get_id()));
}

TEST_F(ClientStreamTest, NoMessageComesThatWasNotAskedFor) {
  ServeOnSocket();
  const auto stream = Chat(/*reads_on=*/false);
  stream->Send("one");
  stream->Send("two");
  stream->HalfClose();
  ASSERT_TRUE(EventuallyMessages(1));
  // Both were answered long before the server has seen the half-close.
  ASSERT_TRUE(Eventually([this] { return ServerSideClosed(absl::StatusCode::kOk) == 1; }));
  EXPECT_THAT(Messages(), ElementsAre("one"));
  stream->Read();
  ASSERT_TRUE(EventuallyMessages(2));
  stream->Read();
  EXPECT_THAT(Closed(), IsOk());
  EXPECT_THAT(Messages(), ElementsAre("one", "two"));
}

TEST_F(ClientStreamTest, WhatTheServerSaidBeforeItsErrorIsStillRead) {
  ServeOnSocket();
  const auto stream = Chat(/*reads_on=*/false);
  stream->Send("one");
  stream->Send("last words");
  stream->Send("bye");
  ASSERT_TRUE(EventuallyMessages(1));
  ASSERT_TRUE(Eventually([this] { return ServerSideClosed(absl::StatusCode::kNotFound) == 1; }));
  stream->Read();
  ASSERT_TRUE(EventuallyMessages(2));
  stream->Read();
  EXPECT_EQ(Closed().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Messages(), ElementsAre("one", "last words"));
}

TEST_F(ClientStreamTest, ACancelEndsItOnBothSides) {
  ServeOnSocket();
  const auto stream = Chat();
  stream->Send("one");
  ASSERT_TRUE(EventuallyMessages(1));
  stream->Cancel();
  stream->Cancel();
  EXPECT_EQ(Closed().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(Eventually([this] { return ServerSideClosed(absl::StatusCode::kCancelled) == 1; }));
}

TEST_F(ClientStreamTest, ACancelBeforeTheCallHasBegunEndsIt) {
  ServeOnSocket();
  Chat()->Cancel();
  EXPECT_EQ(Closed().code(), absl::StatusCode::kCancelled);
}

TEST_F(ClientStreamTest, ADeadlineEndsIt) {
  ServeOnSocket();
  log_ = std::make_shared<StreamLog>();
  channel_
      ->OpenStream("/t.Test/Chat", {.timeout = absl::Milliseconds(50)}, std::make_unique<LoggingHandler>(log_, true))
      ->Read();
  EXPECT_EQ(Closed().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ClientStreamTest, WhatIsDoneToItBehindItsEndDoesNothing) {
  ServeOnSocket();
  const auto stream = Chat();
  stream->HalfClose();
  EXPECT_THAT(Closed(), IsOk());
  EXPECT_TRUE(stream->Send("late"));
  stream->Read();
  stream->HalfClose();
  stream->Cancel();
  channel_->Shutdown();
  channel_.reset();
  stream->Cancel();
  EXPECT_TRUE(stream->Send("later"));
  MutexLock lock(log_->mutex);
  EXPECT_EQ(log_->closed.size(), 1u);
}

TEST_F(ClientStreamTest, AFullQueueRefusesAndLaterSaysThatItHasRoom) {
  ServeOnSocket();
  const auto stream = Chat(/*reads_on=*/true, {.queue_bytes_max = 1000});
  // One message is on its way at most, and the next one waits: it cannot take long.
  int sent = 0;
  while (stream->Send(std::string(600, 'x')) && sent < 100'000) ++sent;
  ASSERT_LT(sent, 100'000) << "nothing bounds the queue";
  EXPECT_TRUE(Eventually([this] {
    MutexLock lock(log_->mutex);
    return log_->writable >= 1;
  }));
  EXPECT_TRUE(stream->Send("room again"));
  EXPECT_TRUE(Eventually([&] {
    MutexLock lock(chat_.mutex);
    return chat_.messages.size() == static_cast<size_t>(sent) + 1 && chat_.messages.back() == "room again";
  }));
}

TEST_F(ClientStreamTest, OneMessageIsTakenHoweverLarge) {
  ServeOnSocket();
  const auto stream = Chat(/*reads_on=*/true, {.queue_bytes_max = 10});
  EXPECT_TRUE(stream->Send(std::string(10'000, 'x')));
  EXPECT_TRUE(EventuallyMessages(1));
}

}  // namespace
}  // namespace meshca::rpc
