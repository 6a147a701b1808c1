#include "ca/authn/process_facts.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ca/authn/overflow_ids.h"
#include "ca/base/status.h"

namespace meshca {

ProcessFacts::ProcessFacts(const UnixPeer& peer, const ProcessTable& processes, HostNames& names, Reading reading)
    : peer_(peer), processes_(processes), names_(names), reading_(reading) {}

void ProcessFacts::Note(const absl::Status& status) {
  if (unknown_.ok()) unknown_ = status;
}

absl::Status ProcessFacts::BeyondMemory() {
  needs_more_ = true;
  return absl::UnavailableError("not read on a loop");
}

template <typename T>
absl::StatusOr<T> ProcessFacts::ReadOfCaller(absl::FunctionRef<absl::StatusOr<T>()> read) {
  absl::StatusOr<T> fact = [&]() -> absl::StatusOr<T> {
    if (peer_.pid <= 0 || peer_.start_time == 0) {
      return absl::NotFoundError("the process was not visible to the server when it connected");
    }
    absl::StatusOr<T> answer = read();
    MESHCA_RETURN_IF_ERROR(answer.status());
    // In this order: while the start time is still the caller's, what was just read was the caller's too.
    MESHCA_ASSIGN_OR_RETURN(const uint64_t start_time, processes_.StartTime(peer_.pid));
    if (start_time != peer_.start_time) {
      return absl::NotFoundError(absl::StrCat("process ", peer_.pid, " ended, and another has its number"));
    }
    return answer;
  }();
  if (!fact.ok()) Note(fact.status());
  return fact;
}

absl::StatusOr<std::vector<uint32_t>> ProcessFacts::Groups() {
  if (!groups_.has_value()) {
    groups_ = ReadOfCaller<std::vector<uint32_t>>([&] { return processes_.SupplementaryGroups(peer_.pid); });
    // The group of the connection is the kernel's own word, whatever became of the process.
    if (!groups_->ok()) {
      groups_.emplace(std::vector<uint32_t>{peer_.gid});
    } else if (std::find((*groups_)->begin(), (*groups_)->end(), peer_.gid) == (*groups_)->end()) {
      (*groups_)->push_back(peer_.gid);
    }
  }
  return *groups_;
}

absl::StatusOr<std::string> ProcessFacts::Executable() {
  if (!executable_.has_value()) {
    executable_ = ReadOfCaller<std::string>([&] { return processes_.Executable(peer_.pid); });
  }
  return *executable_;
}

absl::StatusOr<std::string> ProcessFacts::ExecutableSha256() {
  if (!sha256_.has_value()) {
    if (reading_ == Reading::kMemory) return BeyondMemory();
    sha256_ = ReadOfCaller<std::string>([&] { return processes_.ExecutableSha256(peer_.pid); });
  }
  return *sha256_;
}

absl::StatusOr<std::string> ProcessFacts::SystemdUnit() {
  if (!unit_.has_value()) {
    unit_ = ReadOfCaller<std::string>([&] { return processes_.SystemdUnit(peer_.pid); });
  }
  return *unit_;
}

absl::StatusOr<std::string> ProcessFacts::UserName() {
  // Whoever has no number of its own here has no name either, though the number it looks like has one.
  if (const std::string fault = OverflowIds::OfKernel().UidFault(peer_.uid); !fault.empty()) {
    return absl::NotFoundError(fault);
  }
  return NameOf(names_.FindUser(peer_.uid), [this] { return names_.LookUpUser(peer_.uid); });
}

absl::StatusOr<std::vector<std::string>> ProcessFacts::GroupNames() {
  MESHCA_ASSIGN_OR_RETURN(const std::vector<uint32_t> groups, Groups());
  std::vector<std::string> names;
  for (const uint32_t group : groups) {
    if (!OverflowIds::OfKernel().GidFault(group).empty()) continue;
    absl::StatusOr<std::string> name =
        NameOf(names_.FindGroup(group), [this, group] { return names_.LookUpGroup(group); });
    if (needs_more_) return name.status();
    if (name.ok()) names.push_back(*std::move(name));  // one without a name, or that cannot be learned, fits nothing
  }
  return names;
}

absl::StatusOr<std::string> ProcessFacts::NameOf(std::optional<absl::StatusOr<std::string>> known,
                                                 absl::FunctionRef<absl::StatusOr<std::string>()> look_up) {
  if (!known.has_value()) {
    if (reading_ == Reading::kMemory) return BeyondMemory();
    known = look_up();
  }
  // A number without a name is an answer.
  if (!known->ok() && !absl::IsNotFound(known->status())) Note(known->status());
  return *std::move(known);
}

}  // namespace meshca
