#include "ca/x509/dns_name.h"

#include <string>

#include "ca/base/status.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

TEST(CheckDnsName, KnowsHostNames) {
  for (const char* good : {"a", "a.b", "xn--bcher-kva.test", "*.a.test", "A-1.b_c.test"}) {
    EXPECT_TRUE(CheckDnsName(good).ok()) << good;
  }
  for (const std::string& bad :
       {std::string(""), std::string("."), std::string("a."), std::string(".a"), std::string("a..b"), std::string("-a"),
        std::string("a-"), std::string("*"), std::string("a.*.b"), std::string("a b"), std::string("a/b"),
        std::string("a\0b", 3), std::string(64, 'a'), std::string(254, 'a')}) {
    EXPECT_EQ(ReasonOf(CheckDnsName(bad)), "DNS_NAME_INVALID") << bad;
  }
}

}  // namespace
}  // namespace meshca
