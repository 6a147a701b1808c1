// Versions that both ends speak, and what is read of a report.
#include "ca/service/agent_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "ca/rpc/protobuf_payload.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;

TEST(AgreeOnProtocol, TakesTheNewestThatBothSpeak) {
  EXPECT_EQ(*AgreeOnProtocol(kAgentProtocolVersion), kAgentProtocolVersion);
  EXPECT_EQ(*AgreeOnProtocol(kAgentProtocolVersion + 1), kAgentProtocolVersion);
  EXPECT_THAT(AgreeOnProtocol(kAgentProtocolVersion + 2),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("this server (meshca")));
  EXPECT_THAT(AgreeOnProtocol(0), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ReadHeld, CutsTextsForPeopleShort) {
  agent::v1::Held held;
  held.add_behind_first()->set_program(std::string(1'000'000, 'p'));
  const auto report = ReadHeld(held);
  ASSERT_THAT(report, IsOk());
  EXPECT_EQ(report->behind_first[0].program.size(), 256u);
  EXPECT_EQ(VersionText(std::string(1000, 'v') + "\n").size(), 64u);
}

TEST(EntriesMessages, AreMadeOnceForAnUpdate) {
  EntriesMessages messages;
  const auto update = std::make_shared<EntriesUpdate>();
  update->parts.resize(2);
  update->parts[1].complete = true;
  const auto made = messages.Of(update);
  ASSERT_EQ(made->size(), 2u);
  EXPECT_EQ(made, messages.Of(update));
  agent::v1::AttachResponse last;
  ASSERT_THAT(rpc::ParseMessage(rpc::MessageOf((*made)[1]), last), IsOk());
  EXPECT_TRUE(last.entries().complete());
  EXPECT_NE(made, messages.Of(std::make_shared<EntriesUpdate>(*update)));
}

}  // namespace
}  // namespace meshca
