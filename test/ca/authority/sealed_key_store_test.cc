// Keys that are kept in the database, encrypted.
#include "ca/authority/sealed_key_store.h"

#include <memory>
#include <string>

#include "ca/authority/authority_rows.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class SealedKeyStoreTest : public testing::Test {
 protected:
  const KeyEncryption encryption_ = KeyEncryption::FromKey(SecretBytes(std::string(32, 'k'))).value();
  SealedKeyStore store_{encryption_};
};

TEST_F(SealedKeyStoreTest, AKeySignsBeforeItIsStoredAndAfterItWasOpenedAgain) {
  const std::unique_ptr<NewKey> made = store_.Generate(KeyType::kEcP256).value();
  EXPECT_TRUE(made->key().Sign("message").ok());
  const StoredKey stored = made->ToStored("authority 1").value();
  EXPECT_EQ(stored.reference, "sealed");
  const auto opened = store_.Open(stored, "authority 1");
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE((*opened)->public_key() == made->public_key());
}

TEST_F(SealedKeyStoreTest, AKeyOpensForItsOwnerAlone) {
  const std::unique_ptr<NewKey> made = store_.Generate(KeyType::kEcP256).value();
  const StoredKey first = made->ToStored("authority 1").value();
  EXPECT_EQ(store_.Open(first, "authority 2").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(store_.Open(made->ToStored("authority 2").value(), "authority 2").ok());
}

TEST_F(SealedKeyStoreTest, WhatIsStoredIsNotTheKeyInClear) {
  const std::unique_ptr<SoftwareKey> key = SoftwareKey::Generate(KeyType::kEcP256).value();
  const StoredKey stored = store_.Import(key->ToPkcs8Der()).value()->ToStored("authority 1").value();
  EXPECT_THAT(stored.sealed, Not(HasSubstr(std::string(key->ToPkcs8Der().reveal()))));
  EXPECT_FALSE(SoftwareKey::FromPkcs8Der(stored.sealed).ok());
}

TEST_F(SealedKeyStoreTest, AKeyOfAnotherKindOfStoreIsSaidNotToBeHeld) {
  for (const char* reference : {"", "pkcs11:token=ca"}) {
    const auto opened = store_.Open({reference, "bytes"}, "authority 1");
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition) << reference;
  }
}

TEST_F(SealedKeyStoreTest, ImportTakesNothingButAPrivateKey) {
  EXPECT_EQ(store_.Import(SecretBytes(std::string("junk"))).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_.Generate(KeyType::kEcP521).status().code(), absl::StatusCode::kInvalidArgument);
}

// --- which keys a change gives up ---

StoredAuthority KeyedRow(const std::string& id, const std::string& reference, const std::string& sealed) {
  StoredAuthority row;
  row.id = id;
  row.key_reference = reference;
  row.sealed_key = sealed;
  return row;
}

TEST(KeysGivenUpTest, AreThoseOfRowsThatLoseTheirKeyOrAreForgottenAndNeverPluggedInOnes) {
  AuthoritiesAndBundle state;
  state.authorities = {KeyedRow("kept", "sealed", "1"),
                       KeyedRow("untouched", "sealed", "2"),
                       KeyedRow("retired", "sealed", "3"),
                       KeyedRow("forgotten", "sealed", "4"),
                       KeyedRow("plugged in", "file:/folder", ""),
                       KeyedRow("without", "", "")};
  AuthorityChange change;
  change.authorities = {KeyedRow("kept", "sealed", "1"), KeyedRow("retired", "", ""), KeyedRow("plugged in", "", ""),
                        KeyedRow("without", "", ""), KeyedRow("new", "sealed", "5")};
  change.forgotten_authorities = {"forgotten"};
  EXPECT_THAT(KeysGivenUp(state, change), ElementsAre(StoredKey{"sealed", "3"}, StoredKey{"sealed", "4"}));
  EXPECT_THAT(KeysGivenUp(state, AuthorityChange()), IsEmpty());
}

}  // namespace
}  // namespace meshca
