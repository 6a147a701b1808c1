// Names of users and groups, as this host knows them.
#ifndef MESHCA_CA_AUTHN_HOST_NAMES_H_
#define MESHCA_CA_AUTHN_HOST_NAMES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"

namespace meshca {

// The host's name service (files, LDAP: whatever nsswitch.conf says). May take seconds. Thread-safe.
// Errors: NotFound (nobody has that number), Unavailable (the service did not answer).
class NameService {
 public:
  virtual ~NameService() = default;
  virtual absl::StatusOr<std::string> UserName(uint32_t uid) const = 0;
  virtual absl::StatusOr<std::string> GroupName(uint32_t gid) const = 0;
};

// getpwuid_r and getgrgid_r; lives as long as the process.
const NameService& SystemNameService();

// Remembers what was asked for kFreshFor, so that a loop finds it without waiting. A user that was renamed or deleted
// is known by the old name until then. At most kNamesMax of each; thread-safe.
class HostNames {
 public:
  static constexpr absl::Duration kFreshFor = absl::Seconds(30);
  static constexpr size_t kNamesMax = 4096;

  // Both outlive it.
  explicit HostNames(const NameService& service = SystemNameService(), const Clock& clock = SystemClock());

  // From memory; nothing: not asked lately.
  std::optional<absl::StatusOr<std::string>> FindUser(uint32_t uid) const;
  std::optional<absl::StatusOr<std::string>> FindGroup(uint32_t gid) const;
  // From memory, or else by asking, which may take long. An answer other than a name or NotFound is not remembered.
  absl::StatusOr<std::string> LookUpUser(uint32_t uid);
  absl::StatusOr<std::string> LookUpGroup(uint32_t gid);

 private:
  struct Known {
    absl::StatusOr<std::string> name;
    absl::Duration until;  // since boot
  };
  using Names = absl::flat_hash_map<uint32_t, Known>;

  std::optional<absl::StatusOr<std::string>> Find(const Names& names, uint32_t number) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remember(Names& names, uint32_t number, const absl::StatusOr<std::string>& name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const NameService& service_;
  const Clock& clock_;
  mutable Mutex mutex_;
  Names users_ ABSL_GUARDED_BY(mutex_);
  Names groups_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_HOST_NAMES_H_
