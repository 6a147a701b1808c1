#include "ca/identity/object_name.h"

#include <string>

#include "gtest/gtest.h"

namespace meshca {
namespace {

TEST(ObjectName, IsADnsSubdomain) {
  for (const char* name : {"a", "0", "web-1", "kube-root-ca.crt", "ip-10-0-0-1.eu-central-1.compute.internal"}) {
    EXPECT_TRUE(IsObjectName(name)) << name;
  }
  EXPECT_TRUE(IsObjectName(std::string(253, 'a')));
  for (const char* name : {"", ".", "..", "a..b", ".a", "a.", "-a", "a-", "a.-b", "A", "a_b", "a/b", "a:b", "a b",
                           "a\n", "a%2e", "\xc3\xa9"}) {
    EXPECT_FALSE(IsObjectName(name)) << name;
    EXPECT_FALSE(IsNamespaceName(name)) << name;
  }
  EXPECT_FALSE(IsObjectName(std::string(254, 'a')));
  EXPECT_FALSE(IsObjectName(std::string("a\0b", 3)));
}

TEST(ObjectName, ANamespacesIsOneLabel) {
  EXPECT_TRUE(IsNamespaceName("istio-system"));
  EXPECT_TRUE(IsNamespaceName(std::string(63, 'a')));
  EXPECT_FALSE(IsNamespaceName("a.b"));
  EXPECT_FALSE(IsNamespaceName(std::string(64, 'a')));
}

}  // namespace
}  // namespace meshca
