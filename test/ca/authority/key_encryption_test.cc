#include "ca/authority/key_encryption.h"

#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/authn/refuses.h"
#include "test/ca/authority/test_ca.h"

namespace meshca {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

KeyEncryption TestKeys(char fill = 'k') { return KeyEncryption::FromKey(SecretBytes(std::string(32, fill))).value(); }

TEST(KeyEncryption, OpensWhatItSealed) {
  KeyEncryption keys = TestKeys();
  for (const std::string& text : {std::string(), std::string("k"), std::string(5000, 'x')}) {
    std::string sealed = keys.Seal(text, "authority a").value();
    EXPECT_EQ(keys.Open(sealed, "authority a")->reveal(), text);
    if (text.size() > 100) {
      EXPECT_THAT(sealed, Not(HasSubstr("xxxx")));
    }
  }
}

TEST(KeyEncryption, NeverSealsTheSameWayTwice) {
  KeyEncryption keys = TestKeys();
  std::set<std::string> sealed;
  for (int i = 0; i < 100; ++i) sealed.insert(keys.Seal("same", "same").value());
  EXPECT_EQ(sealed.size(), 100u);
}

TEST(KeyEncryption, EveryChangedByteIsDataLoss) {
  KeyEncryption keys = TestKeys();
  const std::string sealed = keys.Seal("private key", "authority a").value();
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] ^= 1;
    EXPECT_THAT(keys.Open(changed, "authority a"), Refuses(absl::StatusCode::kDataLoss, "SEALED_KEY_BROKEN", "")) << i;
  }
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_EQ(keys.Open(sealed.substr(0, size), "authority a").status().code(), absl::StatusCode::kDataLoss) << size;
  }
}

TEST(KeyEncryption, BelongsToOneKeyAndOneName) {
  std::string sealed = TestKeys('k').Seal("private key", "authority a").value();
  EXPECT_THAT(TestKeys('l').Open(sealed, "authority a"),
              Refuses(absl::StatusCode::kDataLoss, "SEALED_KEY_BROKEN", "not the key-encryption key"));
  EXPECT_EQ(TestKeys('k').Open(sealed, "authority b").status().code(), absl::StatusCode::kDataLoss);
}

TEST(KeyEncryption, RowMacDependsOnKeyTableAndRow) {
  KeyEncryption keys = TestKeys();
  EXPECT_EQ(keys.RowMac("authorities", "row").size(), 32u);
  EXPECT_EQ(keys.RowMac("authorities", "row"), TestKeys().RowMac("authorities", "row"));
  std::set<std::string> macs = {keys.RowMac("authorities", "row"), keys.RowMac("authorities", "rox"),
                                keys.RowMac("authoritie", "srow"), keys.RowMac("bundles", "row"),
                                TestKeys('l').RowMac("authorities", "row")};
  EXPECT_EQ(macs.size(), 5u);
}

TEST(KeyEncryption, RefusesAKeyOfAnotherSize) {
  EXPECT_THAT(KeyEncryption::FromKey(SecretBytes(std::string(31, 'k'))),
              Refuses(absl::StatusCode::kInvalidArgument, "", "31 bytes"));
}

TEST(KeyEncryptionFile, IsMadeOnceAndReadAgain) {
  TestFolder folder;
  const std::string path = folder / "kek";
  EXPECT_THAT(KeyEncryption::FromFile(path, false), Refuses(absl::StatusCode::kNotFound, "", path));
  std::string sealed = KeyEncryption::FromFile(path, true)->Seal("key", "a").value();
  struct stat stat;
  ASSERT_EQ(::stat(path.c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777, 0600u);
  EXPECT_EQ(stat.st_size, 32);
  EXPECT_EQ(KeyEncryption::FromFile(path, false)->Open(sealed, "a")->reveal(), "key");
  EXPECT_EQ(KeyEncryption::FromFile(path, true)->Open(sealed, "a")->reveal(), "key") << "create made another key";
}

TEST(KeyEncryptionFile, RefusesWhatIsNoPrivateKeyFile) {
  TestFolder folder;
  folder.Write("short", std::string(31, 'k'));
  folder.Write("long", std::string(33, 'k'));
  auto open = [&](const char* name) { return KeyEncryption::FromFile(folder / name, true); };
  EXPECT_THAT(open("short"), Refuses(absl::StatusCode::kInvalidArgument, "", "holds 31 bytes"));
  EXPECT_THAT(open("long"), Refuses(absl::StatusCode::kInvalidArgument, "", "holds 33 bytes"));
}

TEST(KeyEncryptionFile, IsFoundThroughALinkAndSetBackWhereTheVolumeOpenedIt) {
  TestFolder folder;
  folder.Write("real", std::string(32, 'k'));
  chmod((folder / "real").c_str(), 0660);
  ASSERT_EQ(symlink("real", (folder / "key").c_str()), 0);
  EXPECT_TRUE(KeyEncryption::FromFile(folder / "key", true).ok());
  struct stat stat;
  ASSERT_EQ(::stat((folder / "real").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777, 0600u);
}

TEST(KeyEncryptionFile, SaysOfAKeyWrittenAsTextThatItIsTextAndWhatStandsAroundIt) {
  TestFolder folder;
  const std::string base64 = std::string(43, 'k') + "=";
  folder.Write("base64", base64 + "\n");
  folder.Write("quoted", "\"" + base64 + "\"\n");
  folder.Write("marked", "\xEF\xBB\xBF" + base64);
  folder.Write("raw", std::string(31, '\x01'));
  const auto words = [&](const char* name) {
    return std::string(KeyEncryption::FromFile(folder / name, true).status().message());
  };
  EXPECT_THAT(words("base64"), testing::HasSubstr("this is text: decode it"));
  EXPECT_THAT(words("quoted"), testing::AllOf(testing::HasSubstr("decode it"), testing::HasSubstr("quotation marks")));
  EXPECT_THAT(words("marked"), testing::AllOf(testing::HasSubstr("decode it"), testing::HasSubstr("byte order mark")));
  EXPECT_THAT(words("raw"), testing::Not(testing::HasSubstr("text")));
  // One more of them than chance can put into the folder's name.
  for (const char* name : {"base64", "quoted", "marked"})
    EXPECT_THAT(words(name), testing::Not(testing::HasSubstr("kkkkkkk")));
}

}  // namespace
}  // namespace meshca
