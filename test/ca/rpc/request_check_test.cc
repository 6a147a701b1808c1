#include "ca/rpc/request_check.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca::rpc {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;
using Verdict = RequestCheck::Verdict;

const Fields kGrpc = {{":method", "POST"},
                      {":scheme", "http"},
                      {":path", "/t.Test/Echo"},
                      {":authority", "ca.test:15012"},
                      {"content-type", "application/grpc"},
                      {"te", "trailers"}};

// gRPC's request with `changes`: an empty name's value names the field to leave out; others replace or follow.
Fields With(const Fields& changes) {
  Fields fields = kGrpc;
  for (const auto& [name, value] : changes) {
    bool replaced = false;
    for (auto it = fields.begin(); it != fields.end(); ++it) {
      if (name.empty() && it->first == value) {
        fields.erase(it);
        replaced = true;
        break;
      }
      if (it->first == name) {
        it->second = value;
        replaced = true;
        break;
      }
    }
    if (!replaced) fields.emplace_back(name, value);
  }
  return fields;
}

// kMalformed of any field or of the block, else whether some field was ignored.
Verdict Judge(const Fields& fields, bool ends = false) {
  RequestCheck check;
  Verdict worst = Verdict::kTake;
  for (const auto& [name, value] : fields) worst = std::max(worst, check.OnHeader(name, value));
  return check.OnHeadersEnd(ends) ? worst : Verdict::kMalformed;
}

struct RequestCase {
  const char* name;
  Fields fields;
  Verdict verdict;
};
class RequestFields : public testing::TestWithParam<RequestCase> {};

TEST_P(RequestFields, AreJudgedAsRfc9113Says) { EXPECT_EQ(Judge(GetParam().fields), GetParam().verdict); }

std::string NameOf(const testing::TestParamInfo<RequestCase>& info) { return info.param.name; }

// What gRPC's libraries send when the target is a Unix socket, and what proxies make of it.
INSTANTIATE_TEST_SUITE_P(
    AnyAuthorityIsTaken, RequestFields,
    testing::Values(
        RequestCase{"HostAndPort", kGrpc, Verdict::kTake},
        RequestCase{"SocketPath", With({{":authority", "/run/meshca/public/api.sock"}}), Verdict::kTake},
        RequestCase{"UnixUri", With({{":authority", "unix:///run/meshca/public/api.sock"}}), Verdict::kTake},
        RequestCase{"PercentEncoded", With({{":authority", "%2Frun%2Fapi.sock"}}), Verdict::kTake},
        RequestCase{"Spaces", With({{":authority", " a b "}}), Verdict::kTake},
        RequestCase{"Utf8", With({{":authority", "caf\xc3\xa9.test"}}), Verdict::kTake},
        RequestCase{"UserInfo", With({{":authority", "user:pw@ca.test"}}), Verdict::kTake},
        RequestCase{"Empty", With({{":authority", ""}}), Verdict::kTake},
        RequestCase{"Missing", With({{"", ":authority"}}), Verdict::kTake},
        RequestCase{"HostAlone", With({{"", ":authority"}, {"host", "/run/api.sock"}}), Verdict::kTake},
        RequestCase{"EmptyHost", With({{"host", ""}}), Verdict::kTake},
        RequestCase{"LongestThereIs", With({{":authority", std::string(15'000, 'a')}}), Verdict::kTake},
        RequestCase{"Newline", With({{":authority", "a\nb"}}), Verdict::kMalformed},
        RequestCase{"Nul", With({{":authority", std::string("a\0b", 3)}}), Verdict::kMalformed},
        RequestCase{"Escape", With({{":authority", "\x1b[2J"}}), Verdict::kMalformed},
        RequestCase{"Delete", With({{":authority", "\x7f"}}), Verdict::kMalformed},
        RequestCase{"Twice",
                    {{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", ""}, {":authority", ""}},
                    Verdict::kMalformed}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    PseudoHeaders, RequestFields,
    testing::Values(
        RequestCase{"MethodMissing", With({{"", ":method"}}), Verdict::kMalformed},
        RequestCase{"SchemeMissing", With({{"", ":scheme"}}), Verdict::kMalformed},
        RequestCase{"PathMissing", With({{"", ":path"}}), Verdict::kMalformed},
        RequestCase{"MethodEmpty", With({{":method", ""}}), Verdict::kMalformed},
        RequestCase{"MethodNoToken", With({{":method", "PO ST"}}), Verdict::kMalformed},
        RequestCase{"SchemeEmpty", With({{":scheme", ""}}), Verdict::kMalformed},
        RequestCase{"SchemeBeginsWithADigit", With({{":scheme", "1http"}}), Verdict::kMalformed},
        RequestCase{"SchemeWithColon", With({{":scheme", "http:"}}), Verdict::kMalformed},
        RequestCase{"OtherScheme", With({{":scheme", "unix"}, {":path", "t"}}), Verdict::kTake},
        RequestCase{"PathEmpty", With({{":path", ""}}), Verdict::kMalformed},
        RequestCase{"PathWithoutSlash", With({{":path", "t.Test/Echo"}}), Verdict::kMalformed},
        RequestCase{"PathWithSpace", With({{":path", "/t Test"}}), Verdict::kMalformed},
        RequestCase{"PathWithNewline", With({{":path", "/t\n"}}), Verdict::kMalformed},
        RequestCase{"AsteriskOfPost", With({{":path", "*"}}), Verdict::kMalformed},
        RequestCase{"AsteriskOfOptions", With({{":method", "OPTIONS"}, {":path", "*"}}), Verdict::kTake},
        RequestCase{"Unknown", {{":method", "POST"}, {":unknown", "1"}}, Verdict::kMalformed},
        RequestCase{"OfAResponse", {{":status", "200"}}, Verdict::kMalformed},
        RequestCase{"ExtendedConnect", {{":method", "CONNECT"}, {":protocol", "websocket"}}, Verdict::kMalformed},
        RequestCase{"UpperCase", {{":Method", "POST"}}, Verdict::kMalformed},
        RequestCase{"ColonAlone", {{":", "x"}}, Verdict::kMalformed},
        RequestCase{"MethodTwice", {{":method", "POST"}, {":method", "POST"}}, Verdict::kMalformed},
        RequestCase{"SchemeTwice", {{":scheme", "http"}, {":scheme", "http"}}, Verdict::kMalformed},
        RequestCase{"PathTwice", {{":path", "/a"}, {":path", "/b"}}, Verdict::kMalformed},
        RequestCase{"BehindAField",
                    {{":method", "POST"}, {":scheme", "http"}, {"te", "trailers"}, {":path", "/"}},
                    Verdict::kMalformed},
        RequestCase{"BehindAnIgnoredField",
                    {{":method", "POST"}, {":scheme", "http"}, {"a(b", "x"}, {":path", "/"}},
                    Verdict::kMalformed},
        RequestCase{"Connect", {{":method", "CONNECT"}, {":authority", "a:1"}}, Verdict::kTake},
        RequestCase{"ConnectWithoutAuthority", {{":method", "CONNECT"}}, Verdict::kMalformed},
        RequestCase{
            "ConnectWithPath", {{":method", "CONNECT"}, {":authority", "a:1"}, {":path", "/"}}, Verdict::kMalformed},
        RequestCase{"ConnectWithScheme",
                    {{":method", "CONNECT"}, {":authority", "a:1"}, {":scheme", "http"}},
                    Verdict::kMalformed}),
    NameOf);

INSTANTIATE_TEST_SUITE_P(
    Fields, RequestFields,
    testing::Values(
        RequestCase{"NameEmpty", With({{"x", ""}, {std::string(), "none"}}), Verdict::kMalformed},
        RequestCase{"NameUpperCase", With({{"X-Upper", "1"}}), Verdict::kMalformed},
        RequestCase{"NameWithColon", With({{"a:b", "1"}}), Verdict::kMalformed},
        RequestCase{"NameWithSpace", With({{"a b", "1"}}), Verdict::kMalformed},
        RequestCase{"NameWithControl", With({{"a\x01", "1"}}), Verdict::kMalformed},
        RequestCase{"NameWithDelete", With({{"a\x7f", "1"}}), Verdict::kMalformed},
        RequestCase{"NameNotAscii", With({{"a\xc3\xa9", "1"}}), Verdict::kMalformed},
        RequestCase{"NameNoToken", With({{"a(b)", "1"}}), Verdict::kIgnore},
        RequestCase{"ValueWithNul", With({{"x", std::string("a\0b", 3)}}), Verdict::kMalformed},
        RequestCase{"ValueWithCarriageReturn", With({{"x", "a\rb"}}), Verdict::kMalformed},
        RequestCase{"ValueWithNewline", With({{"x", "a\nb"}}), Verdict::kMalformed},
        RequestCase{"ValueWithEscape", With({{"x", "a\x1b"}}), Verdict::kIgnore},
        RequestCase{"ValueBeginsWithSpace", With({{"x", " a"}}), Verdict::kIgnore},
        RequestCase{"ValueEndsWithTab", With({{"x", "a\t"}}), Verdict::kIgnore},
        RequestCase{"ValueWithTab", With({{"x", "a\tb"}}), Verdict::kTake},
        RequestCase{"ValueEmpty", With({{"x", ""}}), Verdict::kTake},
        RequestCase{"ValueNotAscii", With({{"x", "caf\xc3\xa9"}}), Verdict::kTake},
        RequestCase{"Connection", With({{"connection", "close"}}), Verdict::kMalformed},
        RequestCase{"KeepAlive", With({{"keep-alive", "1"}}), Verdict::kMalformed},
        RequestCase{"ProxyConnection", With({{"proxy-connection", "close"}}), Verdict::kMalformed},
        RequestCase{"TransferEncoding", With({{"transfer-encoding", "chunked"}}), Verdict::kMalformed},
        RequestCase{"Upgrade", With({{"upgrade", "h2c"}}), Verdict::kMalformed},
        RequestCase{"TeTrailersInCapitals", With({{"te", "Trailers"}}), Verdict::kTake},
        RequestCase{"TeGzip", With({{"te", "gzip"}}), Verdict::kMalformed},
        RequestCase{"TeTwoValues", With({{"te", "trailers, gzip"}}), Verdict::kMalformed},
        RequestCase{"HostTwice",
                    {{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {"host", "a"}, {"host", "b"}},
                    Verdict::kMalformed},
        RequestCase{"ContentLengthNoNumber", With({{"content-length", "x"}}), Verdict::kMalformed},
        RequestCase{"ContentLengthEmpty", With({{"content-length", ""}}), Verdict::kMalformed},
        RequestCase{"ContentLengthSigned", With({{"content-length", "+1"}}), Verdict::kMalformed},
        RequestCase{"ContentLengthNegative", With({{"content-length", "-1"}}), Verdict::kMalformed},
        RequestCase{"ContentLengthTooLarge", With({{"content-length", "9223372036854775808"}}), Verdict::kMalformed},
        RequestCase{"ContentLengthTwice",
                    {{":method", "POST"},
                     {":scheme", "http"},
                     {":path", "/"},
                     {"content-length", "1"},
                     {"content-length", "1"}},
                    Verdict::kMalformed}),
    NameOf);

RequestCheck Checked(const Fields& fields) {
  RequestCheck check;
  for (const auto& [name, value] : fields) EXPECT_EQ(check.OnHeader(name, value), Verdict::kTake) << name;
  EXPECT_TRUE(check.OnHeadersEnd(/*ends=*/false));
  return check;
}

TEST(RequestCheck, TheBodyIsAsLongAsContentLengthSays) {
  RequestCheck exact = Checked(With({{"content-length", "5"}}));
  EXPECT_TRUE(exact.OnData(2));
  EXPECT_FALSE(exact.OnEnd()) << "three bytes are missing";
  EXPECT_TRUE(exact.OnData(3));
  EXPECT_TRUE(exact.OnEnd());
  EXPECT_TRUE(exact.OnData(0));
  EXPECT_FALSE(exact.OnData(1)) << "one too many";
  EXPECT_FALSE(Checked(With({{"content-length", "5"}})).OnData(6));
  EXPECT_TRUE(Checked(kGrpc).OnData(1 << 20)) << "none was given";
}

TEST(RequestCheck, ABodyThatNeverComesIsMalformed) {
  EXPECT_EQ(Judge(With({{"content-length", "5"}}), /*ends=*/true), Verdict::kMalformed);
  EXPECT_EQ(Judge(With({{"content-length", "0"}}), /*ends=*/true), Verdict::kTake);
  EXPECT_EQ(Judge(kGrpc, /*ends=*/true), Verdict::kTake);
  EXPECT_FALSE(Checked(With({{"content-length", "5"}})).OnTrailersEnd(/*ends=*/true));
}

TEST(RequestCheck, TrailersEndTheRequestAndHoldNoPseudoHeader) {
  RequestCheck check = Checked(kGrpc);
  EXPECT_EQ(check.OnTrailer("x-checksum", "1"), Verdict::kTake);
  EXPECT_EQ(check.OnTrailer(":path", "/x"), Verdict::kMalformed);
  EXPECT_EQ(check.OnTrailer(":authority", "x"), Verdict::kMalformed);
  EXPECT_EQ(check.OnTrailer("content-length", "0"), Verdict::kMalformed);
  EXPECT_EQ(check.OnTrailer("connection", "close"), Verdict::kMalformed);
  EXPECT_EQ(check.OnTrailer("X-Upper", "1"), Verdict::kMalformed);
  EXPECT_EQ(check.OnTrailer("", "1"), Verdict::kMalformed);
  EXPECT_TRUE(check.OnTrailersEnd(/*ends=*/true));
  EXPECT_FALSE(check.OnTrailersEnd(/*ends=*/false)) << "a second block of headers";
}

}  // namespace
}  // namespace meshca::rpc
