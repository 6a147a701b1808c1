// Unary calls: answers, errors, deadlines, tokens, threads.
#include <future>

#include "ca/base/status.h"
#include "test/ca/rpc/client/client_fixture.h"

namespace meshca::rpc {
namespace {

using testing::HasSubstr;

class UnaryCallTest : public ClientTest {
 protected:
  UnaryCallTest() {
    router_.AddUnary("/t.Test/Token", [](std::shared_ptr<Call> call) {
      call->Finish(Frame(call->metadata("authorization").value_or("none")));
    });
  }
};

TEST_F(UnaryCallTest, TheAnswerComesBack) {
  ServeOnSocket();
  EXPECT_THAT(Ask("/t.Test/Echo", "hello"), Answers("hello"));
  EXPECT_THAT(Ask("/t.Test/Echo", ""), Answers(""));
}

TEST_F(UnaryCallTest, AnErrorCarriesTheServersSentenceAndReason) {
  ServeOnSocket();
  const absl::Status failed = Ask("/t.Test/Fail", "not yours").status();
  EXPECT_EQ(failed.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(failed.message(), "not yours");
  EXPECT_EQ(ReasonOf(failed), "WHY");
}

TEST_F(UnaryCallTest, ADeadlineEndsACallThatNobodyAnswers) {
  ServeOnSocket();
  EXPECT_EQ(Ask("/t.Test/Keep", "x", {.timeout = absl::Milliseconds(50)}).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(UnaryCallTest, ATokenGoesWithItsOwnCallAlone) {
  ServeOnSocket();
  EXPECT_THAT(Ask("/t.Test/Token", "", {.bearer_token = "abc"}), Answers("Bearer abc"));
  EXPECT_THAT(Ask("/t.Test/Token", ""), Answers("none"));
}

TEST_F(UnaryCallTest, ASocketThatNobodyServesIsUnavailableAndNamed) {
  channel_ = ClientChannel::ToUnixSocket(folder_.path() + "/nobody.sock");
  const absl::Status failed = Ask("/t.Test/Echo", "x").status();
  EXPECT_EQ(failed.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(failed.message()), HasSubstr("nobody.sock"));
}

TEST_F(UnaryCallTest, AnswersComeOnOneThreadThatIsNotTheCallers) {
  ServeOnSocket();
  std::set<std::thread::id> threads;  // The channel's thread alone writes until the last answer is there.
  std::promise<void> last;
  int left = 100;
  for (int i = 0; i < 100; ++i) {
    channel_->CallUnary("/t.Test/Echo", "x", {}, [&](absl::StatusOr<std::string>) {
      threads.insert(std::this_thread::get_id());
      if (--left == 0) last.set_value();
    });
  }
  ASSERT_EQ(last.get_future().wait_for(absl::ToChronoSeconds(kPatience)), std::future_status::ready);
  EXPECT_EQ(threads.size(), 1u);
  EXPECT_FALSE(threads.contains(std::this_thread::get_id()));
}

TEST_F(UnaryCallTest, ACallMayBeginAnotherInItsCallback) {
  ServeOnSocket();
  std::promise<std::string> second;
  channel_->CallUnary("/t.Test/Echo", "first", {}, [&](absl::StatusOr<std::string> first) {
    channel_->CallUnary("/t.Test/Echo", *first + " second", {},
                        [&](absl::StatusOr<std::string> got) { second.set_value(*std::move(got)); });
  });
  EXPECT_EQ(second.get_future().get(), "first second");
}

TEST_F(UnaryCallTest, ALargerAnswerThanAllowedIsRefused) {
  ServeOnSocket({.message_bytes_max = 100});
  EXPECT_THAT(Ask("/t.Test/Echo", std::string(100, 'x')), IsOk());
  EXPECT_EQ(Ask("/t.Test/Echo", std::string(101, 'x')).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace meshca::rpc
