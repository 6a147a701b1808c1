#include "ca/edge/svid_verifier.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

#include "test/ca/x509/test_files.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

constexpr char kWeb[] = "spiffe://cluster.local/ns/default/sa/web";

// A leaf of `ca` and what leads to its root, as a TLS client sends them.
std::vector<std::string> ChainOf(const TestAuthorities& ca) {
  const std::unique_ptr<SoftwareKey> key = NewKey();
  const Certificate leaf = Make({.subject = "web",
                                 .issuer = &ca.issuing,
                                 .signer = ca.issuing_key.get(),
                                 .key = key.get(),
                                 .extensions = {{"basicConstraints", "critical,CA:FALSE"},
                                                {"keyUsage", "critical,digitalSignature"},
                                                {"extendedKeyUsage", "serverAuth,clientAuth"},
                                                {"authorityKeyIdentifier", "keyid"},
                                                {"subjectAltName", std::string("URI:") + kWeb}}});
  return {leaf.der().bytes(), ca.issuing.der().bytes()};
}

TEST(SvidVerifier, BelievesNobodyBeforeItIsToldOfRoots) {
  SvidVerifier verifier;
  EXPECT_THAT(verifier.Verify(ChainOf(NewAuthorities()), TestNow()), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST(SvidVerifier, WhatItFindsIsReadBackFromThePeer) {
  const TestAuthorities ca = NewAuthorities();
  SvidVerifier verifier;
  verifier.Trust(TestDomain(), {ca.root});
  rpc::Peer peer;
  EXPECT_EQ(VerifiedPeerOf(peer), nullptr);
  const auto identity = verifier.Verify(ChainOf(ca), TestNow());
  ASSERT_THAT(identity, IsOk());
  EXPECT_EQ(verifier.CountedAs(identity->get()), kWeb);
  peer.identity = *identity;
  ASSERT_NE(VerifiedPeerOf(peer), nullptr);
  EXPECT_EQ(VerifiedPeerOf(peer)->spiffe_id.uri(), kWeb);
}

TEST(SvidVerifier, OnlyTheRootsItWasToldOfLastCount) {
  const TestAuthorities before = NewAuthorities();
  const TestAuthorities after = NewAuthorities();
  SvidVerifier verifier;
  verifier.Trust(TestDomain(), {before.root});
  verifier.Trust(TestDomain(), {after.root});
  EXPECT_THAT(verifier.Verify(ChainOf(after), TestNow()), IsOk());
  EXPECT_THAT(verifier.Verify(ChainOf(before), TestNow()), HasReason("UNKNOWN_AUTHORITY"));
}

}  // namespace
}  // namespace meshca
