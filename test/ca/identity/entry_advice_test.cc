#include "ca/identity/entry_advice.h"

#include "gtest/gtest.h"

namespace meshca {
namespace {

TEST(EntryAdvice, OnTheCasHostIsACommandForThisHost) {
  EXPECT_EQ(EntryAdvice().Say("make one", "spiffe://td.test/web", UidSelector(12)),
            "make one: meshca entry create spiffe://td.test/web --selector unix:uid:12");
}

TEST(EntryAdvice, AtAnAgentNamesItsNodeAndTheHostToTypeItOn) {
  EXPECT_EQ(EntryAdvice{"web-3"}.Say("let it", "spiffe://td.test/web", kAnySelector),
            "let it, on the CA's host: meshca entry create spiffe://td.test/web --selector ... --node web-3");
}

}  // namespace
}  // namespace meshca
