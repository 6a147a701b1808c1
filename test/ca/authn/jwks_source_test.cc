#include "ca/authn/jwks_source.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authn/fetch_url.h"
#include "ca/base/mutex.h"
#include "ca/base/tcp_listen.h"
#include "ca/base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"
#include "test/ca/jwt/jwt_maker.h"

namespace meshca {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Code = absl::StatusCode;

// The web: answers by URL, counts what was asked, and lets a test wait for a request or hold it.
class FakeWeb {
 public:
  std::function<absl::StatusOr<std::string>(const std::string&)> Getter() {
    return [this](const std::string& url) -> absl::StatusOr<std::string> {
      MutexLock lock(mutex_);
      asked_.push_back(url);
      changed_.NotifyAll();
      while (held_) changed_.Wait(mutex_);
      const auto it = pages_.find(url);
      if (it == pages_.end()) return absl::UnavailableError(absl::StrCat("GET ", url, ": connection refused"));
      return it->second;
    };
  }
  void Set(const std::string& url, std::string page) {
    MutexLock lock(mutex_);
    pages_[url] = std::move(page);
  }
  void Remove(const std::string& url) {
    MutexLock lock(mutex_);
    pages_.erase(url);
  }
  void Hold(bool held) {
    MutexLock lock(mutex_);
    held_ = held;
    changed_.NotifyAll();
  }
  void AwaitRequests(size_t count) {
    MutexLock lock(mutex_);
    while (asked_.size() < count) changed_.Wait(mutex_);
  }
  std::vector<std::string> asked() {
    MutexLock lock(mutex_);
    return asked_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, std::string> pages_;
  std::vector<std::string> asked_;
  bool held_ = false;
};

class Answer {
 public:
  JwksSource::Done Callback() {
    return [this](absl::Status status) {
      MutexLock lock(mutex_);
      status_ = std::move(status);
      ready_.NotifyAll();
    };
  }
  absl::Status Wait() {
    MutexLock lock(mutex_);
    while (!status_.has_value()) ready_.Wait(mutex_);
    return std::move(*status_);
  }

 private:
  Mutex mutex_;
  CondVar ready_;
  std::optional<absl::Status> status_;
};

absl::Status Refresh(JwksSource& source) {
  Answer answer;
  source.Refresh(answer.Callback());
  return answer.Wait();
}

std::string FirstKid(const JwksSource& source) {
  const auto jwks = source.Current();
  return jwks == nullptr ? "" : jwks->keys().front().kid;
}

constexpr char kUrl[] = "https://issuer.test/keys";

JwksSourceOptions Options(FakeWeb& web) {
  JwksSourceOptions options;
  options.url_interval = absl::InfiniteDuration();  // only what a test asks for
  options.retry_interval = absl::InfiniteDuration();
  options.unknown_key_interval = absl::ZeroDuration();
  options.get = web.Getter();
  return options;
}

TEST(JwksUrl, IsFetchedAtOnceAndAgainWhenAsked) {
  FakeWeb web;
  web.Set(kUrl, JwtMaker("k1").JwksText());
  auto source = OpenJwksSource({.file = "", .url = kUrl, .issuer = "https://issuer.test", .ca_file = ""}, Options(web));
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_TRUE(Refresh(**source).ok());
  EXPECT_EQ(FirstKid(**source), "k1");
  web.Set(kUrl, JwtMaker("k2").JwksText());
  EXPECT_TRUE(Refresh(**source).ok());
  EXPECT_EQ(FirstKid(**source), "k2");
}

TEST(JwksUrl, KeepsTheLastGoodSet) {
  FakeWeb web;
  web.Set(kUrl, JwtMaker("k1").JwksText());
  auto source = OpenJwksSource({.file = "", .url = kUrl, .issuer = "", .ca_file = ""}, Options(web)).value();
  ASSERT_TRUE(Refresh(*source).ok());
  web.Set(kUrl, "<html>502</html>");
  EXPECT_TRUE(Refresh(*source).ok());
  EXPECT_EQ(FirstKid(*source), "k1");
  web.Remove(kUrl);
  EXPECT_TRUE(Refresh(*source).ok());
  EXPECT_EQ(FirstKid(*source), "k1");
}

TEST(JwksUrl, AWithdrawnKeyIsGoneWhateverElseTheSetHolds) {
  FakeWeb web;
  const JwtMaker withdrawn("stolen"), stays("k2");
  web.Set(kUrl, absl::StrCat(R"({"keys":[)", withdrawn.Jwk(), ",", stays.Jwk(), "]}"));
  auto source = OpenJwksSource({.file = "", .url = kUrl, .issuer = "", .ca_file = ""}, Options(web)).value();
  ASSERT_TRUE(Refresh(*source).ok());
  EXPECT_THAT(source->Current()->keys(), SizeIs(2));
  web.Set(kUrl, absl::StrCat(R"({"keys":[{"kty":"RSA","kid":"weak","n":"AQ","e":"AQAB"},)", stays.Jwk(), "]}"));
  ASSERT_TRUE(Refresh(*source).ok());
  EXPECT_EQ(FirstKid(*source), "k2");
  EXPECT_THAT(source->Current()->keys(), SizeIs(1)) << "the set with the bad key did not replace the one before";
  EXPECT_THAT(source->Report().keys->IgnoredText(), HasSubstr("\"weak\": "));
  EXPECT_EQ(source->Report().error, "");
  web.Set(kUrl, R"({"keys":[]})");
  ASSERT_TRUE(Refresh(*source).ok());
  EXPECT_THAT(source->Current()->keys(), IsEmpty()) << "an issuer that withdrew every key has none";
}

TEST(JwksUrl, TheLastGoodSetDoesNotStayForEver) {
  FakeWeb web;
  web.Set(kUrl, JwtMaker("k1").JwksText());
  JwksSourceOptions options = Options(web);
  options.keep_max = absl::ZeroDuration();
  auto source = OpenJwksSource({.file = "", .url = kUrl, .issuer = "", .ca_file = ""}, options).value();
  ASSERT_TRUE(Refresh(*source).ok());
  const absl::Time reached = source->Report().last_success;
  for (const char* fault : {"<html>502</html>", R"({"keys":7})"}) {
    web.Set(kUrl, fault);
    EXPECT_THAT(Refresh(*source), Refuses(Code::kUnavailable, "JWKS_UNAVAILABLE", "not reached since 20")) << fault;
    EXPECT_EQ(source->Current(), nullptr);
  }
  EXPECT_EQ(source->Report().last_success, reached);
  web.Set(kUrl, JwtMaker("k2").JwksText());
  EXPECT_TRUE(Refresh(*source).ok());
  EXPECT_EQ(FirstKid(*source), "k2");
}

TEST(JwksUrl, ReportsWhenItWasReachedAndWhyNot) {
  FakeWeb web;
  auto source = OpenJwksSource({.file = "", .url = kUrl, .issuer = "", .ca_file = ""}, Options(web)).value();
  EXPECT_FALSE(Refresh(*source).ok());
  EXPECT_EQ(source->Report().location, kUrl);
  EXPECT_EQ(source->Report().last_success, absl::InfinitePast());
  EXPECT_THAT(source->Report().error, HasSubstr(kUrl));
  web.Set(kUrl, JwtMaker("k1").JwksText());
  EXPECT_TRUE(Refresh(*source).ok());
  EXPECT_GT(source->Report().last_success, absl::FromUnixSeconds(0));
  EXPECT_EQ(source->Report().error, "");
}

TEST(JwksUrl, NeverReachedIsUnavailableUntilItIs) {
  FakeWeb web;
  auto source = OpenJwksSource({.file = "", .url = kUrl, .issuer = "", .ca_file = ""}, Options(web)).value();
  EXPECT_THAT(Refresh(*source),
              Refuses(Code::kUnavailable, "JWKS_UNAVAILABLE", "never reached: GET https://issuer.test"));
  EXPECT_EQ(source->Current(), nullptr);
  web.Set(kUrl, JwtMaker("k1").JwksText());
  EXPECT_TRUE(Refresh(*source).ok());
  EXPECT_EQ(FirstKid(*source), "k1");
}

TEST(JwksUrl, TokensCannotMakeItAskMoreOftenThanAllowed) {
  FakeWeb web;
  web.Set(kUrl, JwtMaker("k1").JwksText());
  JwksSourceOptions options = Options(web);
  options.unknown_key_interval = absl::Hours(1);
  auto source = OpenJwksSource({.file = "", .url = kUrl, .issuer = "", .ca_file = ""}, options).value();
  ASSERT_TRUE(Refresh(*source).ok());  // the first look, or the one that an unknown key may cause
  ASSERT_TRUE(Refresh(*source).ok());
  const size_t asked = web.asked().size();
  EXPECT_LE(asked, 2u);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(Refresh(*source).ok());
  EXPECT_LE(web.asked().size(), 2u) << "one look at start, one for an unknown key";
}

TEST(JwksUrl, LooksAgainByItselfWhenItFailed) {
  FakeWeb web;
  JwksSourceOptions options = Options(web);
  options.retry_interval = absl::Milliseconds(1);
  options.url_interval = absl::Milliseconds(2);
  auto source = OpenJwksSource({.file = "", .url = kUrl, .issuer = "", .ca_file = ""}, options).value();
  web.AwaitRequests(4);
}

TEST(JwksUrl, LooksAgainAtOnceWhenItIsToldThatTheSourceIsBack) {
  FakeWeb web;
  auto source = OpenJwksSource({.file = "", .url = kUrl, .issuer = "", .ca_file = ""}, Options(web)).value();
  ASSERT_FALSE(Refresh(*source).ok());
  const size_t asked = web.asked().size();
  source->TryAgain();
  web.AwaitRequests(asked + 1);
  // A look that is under way may have been begun too early.
  web.Hold(true);
  source->TryAgain();
  web.AwaitRequests(asked + 2);
  source->TryAgain();
  web.Hold(false);
  web.AwaitRequests(asked + 3);
  web.Set(kUrl, JwtMaker("k1").JwksText());
  (void)Refresh(*source);  // it may be answered by the look that has just failed
  ASSERT_TRUE(Refresh(*source).ok());
  // Where nothing had failed nothing is made up for.
  const size_t before = web.asked().size();
  source->TryAgain();
  ASSERT_TRUE(Refresh(*source).ok());
  EXPECT_EQ(web.asked().size(), before + 1);
}

TEST(JwksUrl, WaitersAreBoundedAndAnsweredAtTheEnd) {
  FakeWeb web;
  web.Hold(true);
  auto source = OpenJwksSource({.file = "", .url = kUrl, .issuer = "", .ca_file = ""}, Options(web)).value();
  web.AwaitRequests(1);
  std::vector<std::unique_ptr<Answer>> waiting;
  for (int i = 0; i < 1024; ++i) {
    waiting.push_back(std::make_unique<Answer>());
    source->Refresh(waiting.back()->Callback());
  }
  EXPECT_THAT(Refresh(*source), Refuses(Code::kResourceExhausted, "AUTHENTICATION_QUEUE_FULL", "retry"));
  web.Hold(false);
  for (auto& each : waiting) EXPECT_EQ(each->Wait().code(), Code::kUnavailable);
  source->Stop();
  EXPECT_THAT(Refresh(*source), Refuses(Code::kUnavailable, "", "shutting down"));
}

TEST(JwksUrl, StopEndsALookThatNobodyAnswers) {
  const UniqueFd mute = BindTcp("127.0.0.1:0").value();
  ASSERT_EQ(::listen(mute.get(), 8), 0);
  sockaddr_in address = {};
  socklen_t size = sizeof(address);
  ASSERT_EQ(::getsockname(mute.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  JwksLocation location;
  location.url = absl::StrCat("http://127.0.0.1:", ntohs(address.sin_port), "/keys");
  JwksSourceOptions options;
  options.retry_interval = absl::Milliseconds(1);  // a look is under way even if one was given up before the Stop
  std::unique_ptr<JwksSource> source = OpenJwksSource(location, options).value();
  pollfd asking = {mute.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&asking, 1, 60'000), 1);
  const UniqueFd asked(::accept(mute.get(), nullptr, nullptr));
  ASSERT_TRUE(asked.valid());
  source->Stop();
  EXPECT_THAT(source->Report().error, HasSubstr("shutting down")) << "it was waited for until it was given up";
}

TEST(JwksDiscovery, FollowsTheIssuersOwnDocument) {
  FakeWeb web;
  web.Set("https://issuer.test/.well-known/openid-configuration",
          R"({"issuer":"https://issuer.test","jwks_uri":"https://keys.test/jwks"})");
  web.Set("https://keys.test/jwks", JwtMaker("k1").JwksText());
  auto source =
      OpenJwksSource({.file = "", .url = "", .issuer = "https://issuer.test", .ca_file = ""}, Options(web)).value();
  ASSERT_TRUE(Refresh(*source).ok());
  EXPECT_EQ(FirstKid(*source), "k1");
  EXPECT_THAT(web.asked().front(), "https://issuer.test/.well-known/openid-configuration");
}

TEST(JwksDiscovery, RefusesAnotherIssuersDocumentAndPlainHttp) {
  FakeWeb web;
  const std::string document = "https://issuer.test/.well-known/openid-configuration";
  web.Set(document, R"({"issuer":"https://evil.test","jwks_uri":"https://keys.test/jwks"})");
  auto source =
      OpenJwksSource({.file = "", .url = "", .issuer = "https://issuer.test", .ca_file = ""}, Options(web)).value();
  EXPECT_THAT(Refresh(*source),
              Refuses(Code::kUnavailable, "JWKS_UNAVAILABLE",
                      "it is the document of issuer \"https://evil.test\", not of https://issuer.test"));
  web.Set(document, R"({"issuer":"https://issuer.test","jwks_uri":"http://keys.test/jwks"})");
  EXPECT_THAT(Refresh(*source), Refuses(Code::kUnavailable, "JWKS_UNAVAILABLE", "http to another machine"));
  web.Set(document, "{}");
  EXPECT_THAT(Refresh(*source), Refuses(Code::kUnavailable, "JWKS_UNAVAILABLE", "issuer \"\""));
}

class JwksFileTest : public testing::Test {
 protected:
  JwksFileTest() {
    char pattern[] = "/tmp/meshca-jwks-XXXXXX";
    folder_ = mkdtemp(pattern);
    file_ = folder_ + "/jwks.json";
  }
  ~JwksFileTest() override {
    unlink(file_.c_str());
    rmdir(folder_.c_str());
  }
  // As a careful writer does: a new file in the old one's place.
  void Write(const std::string& text) {
    const std::string fresh = file_ + ".new";
    std::ofstream(fresh) << text;
    ASSERT_EQ(std::rename(fresh.c_str(), file_.c_str()), 0);
  }
  absl::StatusOr<std::unique_ptr<JwksSource>> Open() {
    JwksSourceOptions options;
    options.file_interval = absl::InfiniteDuration();
    return OpenJwksSource({.file = file_, .url = "", .issuer = "", .ca_file = ""}, options);
  }
  std::string folder_, file_;
};

TEST_F(JwksFileTest, IsReadBeforeTheServerStarts) {
  EXPECT_EQ(Open().status().code(), Code::kNotFound);
  EXPECT_THAT(std::string(Open().status().message()), HasSubstr(file_));
  Write("{}");
  EXPECT_THAT(Open(), Refuses(Code::kInvalidArgument, "JWKS_INVALID", file_ + ": JWKS: there is no list"));
  Write(JwtMaker("k1").JwksText());
  auto source = Open();
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(FirstKid(**source), "k1");
}

TEST_F(JwksFileTest, AChangeIsSeenAndABrokenOneIsNot) {
  Write(JwtMaker("k1").JwksText());
  auto source = Open().value();
  Write(JwtMaker("k2").JwksText());
  ASSERT_TRUE(Refresh(*source).ok());
  EXPECT_EQ(FirstKid(*source), "k2");
  Write("{\"keys\":[");
  ASSERT_TRUE(Refresh(*source).ok());
  EXPECT_EQ(FirstKid(*source), "k2");
  unlink(file_.c_str());
  ASSERT_TRUE(Refresh(*source).ok());
  EXPECT_EQ(FirstKid(*source), "k2");
  Write(JwtMaker("k3").JwksText());
  ASSERT_TRUE(Refresh(*source).ok());
  EXPECT_EQ(FirstKid(*source), "k3");
}

struct UrlCase {
  const char* name;
  const char* url;
  const char* words;  // "": good
};
class FetchUrlTest : public testing::TestWithParam<UrlCase> {};

TEST_P(FetchUrlTest, IsHttpsOrLoopback) {
  const absl::Status status = ParseFetchUrl(GetParam().url).status();
  if (*GetParam().words == '\0') {
    EXPECT_TRUE(status.ok()) << status;
  } else {
    EXPECT_THAT(status, Refuses(Code::kInvalidArgument, "", GetParam().words));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Forms, FetchUrlTest,
    testing::Values(
        UrlCase{"Https", "https://a.test/x?y=1", ""}, UrlCase{"NoPath", "https://a.test", ""},
        UrlCase{"Port", "https://a.test:8443/x", ""}, UrlCase{"Ipv6", "https://[2001:db8::1]:1/x", ""},
        UrlCase{"HttpLoopback", "http://127.0.0.1:8080/x", ""}, UrlCase{"HttpLocalhost", "http://localhost/x", ""},
        UrlCase{"HttpIpv6Loopback", "http://[::1]/x", ""},
        UrlCase{"Http", "http://a.test/x", "http to another machine"},
        UrlCase{"HttpLooksLocal", "http://127.0.0.1.evil.test/x", "http to another machine"},
        UrlCase{"HttpLocalhostUser", "http://localhost@evil.test/x", "user name"},
        UrlCase{"File", "file:///etc/passwd", "expects https"}, UrlCase{"Empty", "", "expects https"},
        UrlCase{"UpperCase", "HTTPS://a.test", "expects https"}, UrlCase{"NoHost", "https:///x", "no host"},
        UrlCase{"PortZero", "https://a:0/", "no host, or a port"}, UrlCase{"PortText", "https://a:x/", "a port"},
        UrlCase{"PortEmpty", "https://a:/", "a port"}, UrlCase{"OpenBracket", "https://[::1/", "no host"},
        UrlCase{"Fragment", "https://a.test/#x", "fragment"}, UrlCase{"Space", "https://a.test/ x", "a byte"},
        UrlCase{"NewLine", "https://a.test/\r\nHost: b", "a byte"}),
    [](const auto& info) { return info.param.name; });

TEST(FetchUrl, ComesApart) {
  const http::Url url = ParseFetchUrl("https://[::1]:8443?x=1").value();
  EXPECT_EQ(url.host, "::1");
  EXPECT_EQ(url.port, 8443);
  EXPECT_EQ(url.target, "/?x=1");
  EXPECT_TRUE(url.https);
}

}  // namespace
}  // namespace meshca
