#include "ca/rpc/metadata.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace meshca::rpc {
namespace {

bool IsLegalName(absl::string_view name) {
  if (name.empty() || absl::StartsWith(name, "grpc-")) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isdigit(c) || absl::ascii_islower(c) || c == '_' || c == '-' || c == '.';
  });
}

bool IsLegalValue(absl::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

}  // namespace

bool Metadata::Add(absl::string_view name, absl::string_view value) {
  if (!IsLegalName(name)) return false;
  if (!absl::EndsWith(name, "-bin") && !IsLegalValue(value)) return false;
  AddUnchecked(name, value);
  return true;
}

void Metadata::AddUnchecked(absl::string_view name, absl::string_view value) {
  entries_.push_back(
      {static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(name.size()), static_cast<uint32_t>(value.size())});
  bytes_.append(name.data(), name.size());
  bytes_.append(value.data(), value.size());
}

absl::string_view Metadata::name(size_t index) const {
  const Entry& entry = entries_[index];
  return absl::string_view(bytes_).substr(entry.offset, entry.name_bytes);
}

absl::string_view Metadata::value(size_t index) const {
  const Entry& entry = entries_[index];
  return absl::string_view(bytes_).substr(entry.offset + entry.name_bytes, entry.value_bytes);
}

std::optional<absl::string_view> Metadata::Find(absl::string_view wanted) const {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (name(i) == wanted) return value(i);
  }
  return std::nullopt;
}

std::vector<absl::string_view> Metadata::FindAll(absl::string_view wanted) const {
  std::vector<absl::string_view> found;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (name(i) == wanted) found.push_back(value(i));
  }
  return found;
}

}  // namespace meshca::rpc
