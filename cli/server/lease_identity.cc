#include "cli/server/lease_identity.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ca/base/printable.h"
#include "ca/x509/digest.h"

namespace meshca::cli {
namespace {

constexpr size_t kDigestBytes = 8;

std::string RandomHex(EntropySource& entropy) {
  std::array<uint8_t, kDigestBytes> bytes;
  entropy.Fill(bytes);
  return absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace

kubernetes::LeaseTerms LeaseTermsOf(absl::string_view prefix, const std::string& lock_file, const Clock& clock,
                                    EntropySource& entropy) {
  kubernetes::LeaseTerms terms;
  terms.process = RandomHex(entropy);
  struct stat file = {};
  std::string own = terms.process;
  if (const std::string boot = clock.BootId(); !boot.empty() && ::stat(lock_file.c_str(), &file) == 0) {
    const std::string what = absl::StrCat(boot, " ", file.st_dev, " ", file.st_ino);
    own = absl::BytesToHexString(Sha256(what).substr(0, kDigestBytes));
  }
  terms.identity = absl::StrCat(Printable(prefix), "_", own);
  return terms;
}

std::string LeasePrefix(absl::string_view namespace_name) {
  char host[256] = {};
  const std::string name = ::gethostname(host, sizeof host - 1) == 0 && host[0] != '\0' ? host : "meshca";
  return absl::StrCat(namespace_name, namespace_name.empty() ? "" : "/", name);
}

}  // namespace meshca::cli
