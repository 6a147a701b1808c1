#include "cli/agent_process/key_keeper.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "ca/base/fault_point.h"
#include "ca/base/log.h"
#include "ca/base/printable.h"
#include "ca/base/sealed_memory.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca::cli {
namespace {

// Behind it a number that grows, so that the newest is known where a process ended between storing and removing.
constexpr absl::string_view kStoredName = "meshca-keys-";
constexpr absl::Duration kLookAtKeys = absl::Seconds(1);
constexpr absl::Duration kTryAgainToKeep = absl::Seconds(10);
// Of the time at most the fiftieth part is spent on keeping.
constexpr int64_t kPartOfTime = 50;
constexpr size_t kRefusalsLogged = 10;

uint64_t NumberOf(absl::string_view name) {
  uint64_t number = 0;
  return absl::ConsumePrefix(&name, kStoredName) && absl::SimpleAtoi(name, &number) ? number : 0;
}

}  // namespace

KeyKeeper::KeyKeeper(Parts parts, std::vector<StoredDescriptor> stored) : parts_(parts), stored_(std::move(stored)) {
  std::erase_if(stored_, [](const StoredDescriptor& one) {
    if (NumberOf(one.name) > 0) return false;
    LogWarning("a descriptor that the service manager handed over is not the agent's: it is closed",
               {{"name", Printable(one.name)}});
    return true;
  });
  std::sort(stored_.begin(), stored_.end(),
            [](const StoredDescriptor& a, const StoredDescriptor& b) { return NumberOf(a.name) < NumberOf(b.name); });
  for (const StoredDescriptor& one : stored_) names_.push_back(one.name);
  if (!names_.empty()) next_number_ = NumberOf(names_.back()) + 1;
  view_.on = HasServiceManager();
}

absl::StatusOr<agent::KeptKeys> KeyKeeper::Open(const StoredDescriptor& stored) const {
  MESHCA_ASSIGN_OR_RETURN(const std::string sealed, ReadSealedMemory(stored.fd.get(), agent::kKeptBytesMax));
  MESHCA_ASSIGN_OR_RETURN(const KeyEncryption encryption, parts_.state.KeepingKey(/*create=*/false));
  const agent::OwnIdentityPtr own = parts_.identity.Current();
  const std::shared_ptr<const ChainVerifier> verifier = parts_.trust.verifier();
  if (own == nullptr || verifier == nullptr) return absl::FailedPreconditionError("this agent has not joined");
  return agent::OpenKeys(sealed, own->id, *verifier, parts_.clock.LikelyNow(), encryption);
}

void KeyKeeper::Restore() {
  const std::vector<StoredDescriptor> stored = std::exchange(stored_, {});
  for (auto one = stored.rbegin(); one != stored.rend(); ++one) {
    absl::StatusOr<agent::KeptKeys> kept = Open(*one);
    if (kept.ok()) return TakeOver(*std::move(kept));
    LogWarning("keys that the service manager kept are not used: workloads get new ones from the CA",
               {{"name", one->name}, {"why", std::string(kept.status().message())}});
  }
}

void KeyKeeper::TakeOver(agent::KeptKeys kept) {
  const size_t restored = kept.keys.size();
  for (sds::KeyRing::RestoredKey& key : kept.keys) parts_.keys.Restore(std::move(key));
  for (size_t i = 0; i < std::min(kept.refused.size(), kRefusalsLogged); ++i) {
    LogWarning("a key that the service manager kept is not used", {{"why", kept.refused[i]}});
  }
  LogInfo("the keys of the process before are here again, for whoever may still have them",
          {{"keys", absl::StrCat(restored)},
           {"refused", absl::StrCat(kept.refused.size())},
           {"kept_at", UtcText(kept.kept_at)}});
  MutexLock lock(mutex_);
  view_.restored = restored;
  view_.refused = kept.refused.size();
}

absl::Duration KeyKeeper::Keep() {
  const uint64_t changes = parts_.keys.Stats().changes;
  if (!HasServiceManager() || changes == changes_) return kLookAtKeys;
  const absl::Duration began = parts_.clock.SinceBoot();
  const std::vector<sds::KeyRing::SharedKey> keys = parts_.keys.SharedKeys();
  const absl::Status stored = keys.empty() ? RemoveStored(0) : Store(keys);
  if (stored.ok()) changes_ = changes;
  absl::Status before;
  {
    MutexLock lock(mutex_);
    before = std::exchange(view_.failure, stored);
    if (stored.ok()) {
      view_.kept = keys.size();
      view_.kept_at = parts_.clock.LikelyNow();
    }
  }
  if (!stored.ok() && before.ok()) {
    LogWarning("the keys of workloads are not kept for the agent's next process; tried again",
               {{"error", std::string(stored.message())}});
  }
  if (!stored.ok()) return kTryAgainToKeep;
  return std::max(kLookAtKeys, kPartOfTime * (parts_.clock.SinceBoot() - began));
}

// The new one first: whenever this process ends, the manager has one of them. A store that has room for one alone
// (FileDescriptorStoreMax=1) refuses it then, and takes it once the old one is gone. Where it has taken it already, it
// sees that it has this file.
absl::Status KeyKeeper::Store(const std::vector<sds::KeyRing::SharedKey>& keys) {
  MESHCA_ASSIGN_OR_RETURN(const KeyEncryption encryption, parts_.state.KeepingKey(/*create=*/true));
  MESHCA_ASSIGN_OR_RETURN(const std::string sealed,
                          agent::SealKeys(keys, parts_.identity.Current()->id, parts_.clock.LikelyNow(), encryption));
  const std::string name = absl::StrCat(kStoredName, next_number_++);
  MESHCA_ASSIGN_OR_RETURN(const UniqueFd memory, MakeSealedMemory(name, sealed));
  MESHCA_RETURN_IF_ERROR(StoreDescriptor(name, memory.get()));
  names_.push_back(name);
  FaultPoint("agent: after its keys are kept anew");
  if (names_.size() == 1) return absl::OkStatus();
  MESHCA_RETURN_IF_ERROR(RemoveStored(1));
  return StoreDescriptor(name, memory.get());
}

// All but the `newest` that were stored last.
absl::Status KeyKeeper::RemoveStored(size_t newest) {
  while (names_.size() > newest) {
    MESHCA_RETURN_IF_ERROR(RemoveStoredDescriptor(names_.front()));
    names_.erase(names_.begin());
  }
  return absl::OkStatus();
}

KeptKeysView KeyKeeper::View() const {
  MutexLock lock(mutex_);
  return view_;
}

}  // namespace meshca::cli
