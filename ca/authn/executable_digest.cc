#include "ca/authn/executable_digest.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"
#include "ca/x509/digest.h"
#include "ca/x509/encoding.h"

namespace meshca {
namespace {

constexpr size_t kReadBytes = 256 * 1024;

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

absl::StatusOr<std::string> HashOfRest(int fd, const std::string& path) {
  const EvpMdCtxPtr context(EVP_MD_CTX_new());
  if (context == nullptr || EVP_DigestInit_ex(context.get(), HashAlgorithm(HashType::kSha256), nullptr) != 1) {
    return OpenSslError("EVP_DigestInit_ex");
  }
  std::vector<char> buffer(kReadBytes);
  for (int64_t read = 0; read <= ExecutableDigest::kFileBytesMax;) {
    const ssize_t size = ::read(fd, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return absl::UnavailableError(ErrnoStatus(errno, absl::StrCat("read ", path)).message());
    if (size == 0) break;
    if (EVP_DigestUpdate(context.get(), buffer.data(), static_cast<size_t>(size)) != 1) {
      return OpenSslError("EVP_DigestUpdate");
    }
    read += size;
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_DigestFinal_ex(context.get(), digest, &size) != 1) return OpenSslError("EVP_DigestFinal_ex");
  return HexLower(absl::string_view(reinterpret_cast<const char*>(digest), size));
}

}  // namespace

absl::StatusOr<ExecutableDigest::FileVersion> ExecutableDigest::VersionOf(int fd, const std::string& path) {
  struct stat file = {};
  if (::fstat(fd, &file) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", path));
  if (!S_ISREG(file.st_mode)) return absl::FailedPreconditionError(absl::StrCat(path, " is no regular file"));
  if (file.st_size > kFileBytesMax) {
    return absl::FailedPreconditionError(absl::StrCat(path, " has ", file.st_size, " bytes; the most is ",
                                                      kFileBytesMax, " for a program that is known by its SHA-256"));
  }
  return FileVersion(file.st_dev, file.st_ino, file.st_size, Nanoseconds(file.st_mtim), Nanoseconds(file.st_ctim));
}

absl::StatusOr<std::string> ExecutableDigest::Sha256OfFile(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file.valid()) return ErrnoStatus(errno == ESRCH ? ENOENT : errno, absl::StrCat("open ", path));
  MESHCA_ASSIGN_OR_RETURN(const FileVersion before, VersionOf(file.get(), path));
  {
    MutexLock lock(mutex_);
    if (auto it = known_.find(before); it != known_.end()) return it->second;
  }
  MESHCA_ASSIGN_OR_RETURN(std::string digest, HashOfRest(file.get(), path));
  MESHCA_ASSIGN_OR_RETURN(const FileVersion after, VersionOf(file.get(), path));
  if (after != before) return absl::FailedPreconditionError(absl::StrCat(path, " changed while it was read"));
  MutexLock lock(mutex_);
  if (known_.size() >= kRememberedMax) known_.clear();
  known_.insert_or_assign(before, digest);
  return digest;
}

}  // namespace meshca
