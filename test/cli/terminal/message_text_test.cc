#include "cli/terminal/message_text.h"

#include <gtest/gtest.h>

#include <string>

#include "ca/base/printable.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

TEST(MessageText, JsonHasEveryFieldWhetherSetOrNot) {
  v1::Entry entry;
  entry.set_id("1");
  entry.add_selectors("unix:uid:0");
  entry.mutable_ttl()->set_seconds(90);
  entry.mutable_created_at()->set_seconds(1767323045);
  EXPECT_EQ(ToJson(entry),
            R"({"id":"1","spiffe_id":"","selectors":["unix:uid:0"],"ttl":"90s","dns_names":[],)"
            R"("created_at":"2026-01-02T03:04:05Z","created_by":"","nodes":[],"hint":"","jwt_ttl":null})");
}

TEST(MessageText, AbsentMessagesAreNullAndNumbersAreNumbers) {
  v1::Subscriber subscriber;
  subscriber.set_bundle_sequence(18446744073709551615ull);
  const std::string json = ToJson(subscriber);
  EXPECT_NE(json.find(R"("bundle_sequence":18446744073709551615)"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("acknowledged_at":null)"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("connected":false)"), std::string::npos) << json;
}

TEST(MessageText, AnOptionalNumberThatIsAbsentIsNotZero) {
  v1::Subscriber subscriber;
  EXPECT_NE(ToJson(subscriber).find(R"("uid":null)"), std::string::npos);
  subscriber.set_uid(0);
  EXPECT_NE(ToJson(subscriber).find(R"("uid":0)"), std::string::npos);
}

TEST(MessageText, StringsAreEscaped) { EXPECT_EQ(JsonString("a\"\\\n\x01"), R"("a\"\\\n\u0001")"); }

TEST(MessageText, YamlNestsAndQuotesWhatItMightMisread) {
  v1::CheckResponse response;
  v1::Fact& fact = *response.add_facts();
  fact.set_name("clock");
  fact.set_state("yes");
  fact.set_detail("a: b");
  EXPECT_EQ(ToYaml(response), "facts:\n- name: clock\n  state: \"yes\"\n  detail: \"a: b\"\n  mend: \"\"\n");
  EXPECT_EQ(ToYamlItem(fact), "- name: clock\n  state: \"yes\"\n  detail: \"a: b\"\n  mend: \"\"\n");
}

}  // namespace
}  // namespace meshca::cli
