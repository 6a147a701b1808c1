#include "cli/server/http_routes.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/http/http_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/fakes/fake_clock.h"

namespace meshca::cli {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class NoAuthorities final : public AuthoritySnapshots {
 public:
  std::shared_ptr<const AuthoritySnapshot> Current() const override { return nullptr; }
  void AddListener(Listener) override {}
};

TEST(HttpRoutes, ProbesSayWhatTheyKnow) {
  FakeClock clock;
  NoAuthorities authorities;
  absl::Status ready = absl::UnavailableError("trial commit: disk full");
  HttpPages pages;
  pages.version = "1.2.3";
  pages.trust_domain = "<cluster>";
  pages.clock = &clock;
  pages.ready = [&] { return ready; };
  pages.authorities = &authorities;
  pages.metrics = [] { return std::string("a 1\n"); };
  const auto server = http::PageServer::Start("127.0.0.1:0", MakeHttpRoutes(pages)).value();
  const auto client = http::Client::Create().value();
  auto get = [&](const char* path) {
    http::ClientRequest request;
    request.url = http::Url::Parse(absl::StrCat("http://", server->address(), path)).value();
    const http::Response response = client->Fetch(std::move(request), {}).value();
    const std::string* type = response.headers.Find("content-type");
    return absl::StrCat(response.status, " ", type == nullptr ? "" : *type, "\n", response.body);
  };
  EXPECT_THAT(get("/livez"), StartsWith("200"));
  EXPECT_THAT(get("/readyz"), AllOf(StartsWith("503"), EndsWith("not ready: trial commit: disk full\n")));
  EXPECT_THAT(get("/metrics"), AllOf(HasSubstr("version=0.0.4"), EndsWith("a 1\n")));
  EXPECT_THAT(get("/"), AllOf(HasSubstr("text/html"), HasSubstr("&lt;cluster&gt;"), HasSubstr("not ready"),
                              Not(HasSubstr("disk full"))));
  ready = absl::OkStatus();
  EXPECT_THAT(get("/readyz"), AllOf(StartsWith("200"), EndsWith("ok\n")));
}

}  // namespace
}  // namespace meshca::cli
