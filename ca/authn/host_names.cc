#include "ca/authn/host_names.h"

#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr size_t kRecordBytesFirst = 4096;
constexpr size_t kRecordBytesMax = 1 << 20;  // a group with tens of thousands of members

// What `get` finds for `number`, with a buffer that grows until the record fits. `name` picks the name out of a record.
template <typename Record, typename Get>
absl::StatusOr<std::string> NameByNumber(absl::string_view what, uint32_t number, char* Record::*name, Get get) {
  for (size_t size = kRecordBytesFirst; size <= kRecordBytesMax; size *= 4) {
    std::vector<char> buffer(size);
    Record record;
    Record* found = nullptr;
    const int error = get(number, &record, buffer.data(), buffer.size(), &found);
    if (error == ERANGE) continue;
    if (found != nullptr) return std::string(record.*name);
    // What the manual calls "not found or an error": these numbers are answers, all others are failures to answer.
    if (error == 0 || error == ENOENT || error == ESRCH) {
      return absl::NotFoundError(absl::StrCat(what, " ", number, " has no name on this host"));
    }
    return absl::UnavailableError(
        absl::StrCat("name of ", what, " ", number, ": ", ErrnoStatus(error, "the host's name service").message()));
  }
  return absl::UnavailableError(absl::StrCat("name of ", what, " ", number, ": its record is larger than 1 MiB"));
}

class Nsswitch final : public NameService {
 public:
  absl::StatusOr<std::string> UserName(uint32_t uid) const override {
    return NameByNumber<passwd>("uid", uid, &passwd::pw_name, ::getpwuid_r);
  }
  absl::StatusOr<std::string> GroupName(uint32_t gid) const override {
    return NameByNumber<group>("gid", gid, &group::gr_name, ::getgrgid_r);
  }
};

}  // namespace

const NameService& SystemNameService() {
  static const Nsswitch service;
  return service;
}

HostNames::HostNames(const NameService& service, const Clock& clock) : service_(service), clock_(clock) {}

std::optional<absl::StatusOr<std::string>> HostNames::Find(const Names& names, uint32_t number) const {
  auto it = names.find(number);
  if (it == names.end() || clock_.SinceBoot() >= it->second.until) return std::nullopt;
  return it->second.name;
}

void HostNames::Remember(Names& names, uint32_t number, const absl::StatusOr<std::string>& name) {
  if (!name.ok() && !absl::IsNotFound(name.status())) return;
  // Callers choose their numbers: whoever has a range of them must not make us remember all.
  if (names.size() >= kNamesMax && !names.contains(number)) names.clear();
  names.insert_or_assign(number, Known{name, clock_.SinceBoot() + kFreshFor});
}

std::optional<absl::StatusOr<std::string>> HostNames::FindUser(uint32_t uid) const {
  MutexLock lock(mutex_);
  return Find(users_, uid);
}

std::optional<absl::StatusOr<std::string>> HostNames::FindGroup(uint32_t gid) const {
  MutexLock lock(mutex_);
  return Find(groups_, gid);
}

absl::StatusOr<std::string> HostNames::LookUpUser(uint32_t uid) {
  if (auto known = FindUser(uid); known.has_value()) return *std::move(known);
  absl::StatusOr<std::string> name = service_.UserName(uid);
  MutexLock lock(mutex_);
  Remember(users_, uid, name);
  return name;
}

absl::StatusOr<std::string> HostNames::LookUpGroup(uint32_t gid) {
  if (auto known = FindGroup(gid); known.has_value()) return *std::move(known);
  absl::StatusOr<std::string> name = service_.GroupName(gid);
  MutexLock lock(mutex_);
  Remember(groups_, gid, name);
  return name;
}

}  // namespace meshca
