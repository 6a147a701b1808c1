#include "ca/authority/set_files.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "ca/authority/authority_rows.h"

namespace meshca {

std::string SetFiles::PathOf(absl::string_view name) const { return absl::StrCat(place_, "/", name); }

bool SetFiles::Has(absl::string_view name) const {
  if (contents_.has_value()) return contents_->find(name) != contents_->end();
  return access(PathOf(name).c_str(), F_OK) == 0;
}

absl::StatusOr<std::string> SetFiles::Read(absl::string_view name, size_t bytes_max, FileSecrecy secrecy) const {
  const std::string path = PathOf(name);
  if (!contents_.has_value()) return ReadFile(path, bytes_max, secrecy);
  const auto found = contents_->find(name);
  if (found == contents_->end()) return absl::NotFoundError(absl::StrCat(path, ": is missing"));
  if (found->second.size() > bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has ", found->second.size(), " bytes, and at most ", bytes_max, " are read"));
  }
  return std::string(found->second.reveal());
}

std::string SetFiles::KeyReference() const {
  // Not "": that is an authority whose key meshca does not hold, and a set that brings the key is another one.
  return contents_.has_value() ? absl::StrCat("given:", place_) : absl::StrCat(kFileKeyPrefix, place_);
}

}  // namespace meshca
