#include "cli/agent/told_trust.h"

#include <google/protobuf/util/message_differencer.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "cli/agent/trust_message.h"

namespace meshca::agent {
namespace {

absl::Status Refused(absl::string_view reason, absl::string_view what) {
  return WithReason(absl::FailedPreconditionError(absl::StrCat("the trust that the CA told is not taken: ", what)),
                    reason);
}

}  // namespace

absl::Status ToldTrust::Restore() {
  MutexLock adopting(adopting_);
  MESHCA_ASSIGN_OR_RETURN(const std::optional<v1::Trust> message, state_.LoadTrust());
  if (!message.has_value()) return absl::OkStatus();
  absl::StatusOr<std::shared_ptr<const sds::Trust>> trust = ReadTrust(*message);
  if (!trust.ok()) return absl::DataLossError(absl::StrCat(state_.folder(), ": trust.bin: ", trust.status().message()));
  Publish(*message, *std::move(trust));
  return absl::OkStatus();
}

absl::Status ToldTrust::Adopt(const v1::Trust& message) {
  MESHCA_ASSIGN_OR_RETURN(std::shared_ptr<const sds::Trust> trust, ReadTrust(message));
  MutexLock adopting(adopting_);
  if (const std::shared_ptr<const sds::Trust> known = Current(); known != nullptr) {
    if (trust->version < known->version) {
      return Refused("TRUST_OLDER", absl::StrCat("it has version ", trust->version, ", and version ", known->version,
                                                 " was told before. Where the CA was restored from a backup, finish "
                                                 "that there: meshca db restore says how"));
    }
    if (trust->domains.front().trust_domain != known->domains.front().trust_domain) {
      return Refused("TRUST_DOMAIN_CHANGED",
                     absl::StrCat("it is for ", trust->domains.front().trust_domain.name(),
                                  ", and this agent belongs to ", known->domains.front().trust_domain.name()));
    }
    if (trust->version == known->version) {
      if (google::protobuf::util::MessageDifferencer::Equals(message, message_)) return absl::OkStatus();
      return Refused("TRUST_FORKED",
                     absl::StrCat("version ", trust->version, " had other content when it was told first"));
    }
  }
  const absl::Status saved = state_.SaveTrust(message);
  unsaved_ = !saved.ok();
  if (unsaved_) {
    LogError("a new trust could not be saved; it holds until the agent restarts, and is saved as soon as that works",
             {{"version", absl::StrCat(trust->version)}, {"error", std::string(saved.message())}});
  }
  Publish(message, std::move(trust));
  return absl::OkStatus();
}

absl::Status ToldTrust::SaveAgain() {
  MutexLock adopting(adopting_);
  if (!unsaved_) return absl::OkStatus();
  MESHCA_RETURN_IF_ERROR(state_.SaveTrust(message_));
  unsaved_ = false;
  return absl::OkStatus();
}

void ToldTrust::Publish(const v1::Trust& message, std::shared_ptr<const sds::Trust> trust) {
  message_ = message;
  const sds::DomainTrust& own = trust->domains.front();
  auto verifier = std::make_shared<const ChainVerifier>(own.trust_domain, RootsOf(own));
  std::vector<Listener> listeners;
  {
    MutexLock lock(mutex_);
    current_ = trust;
    verifier_ = std::move(verifier);
    listeners = listeners_;
  }
  LogInfo("trust taken", {{"version", absl::StrCat(trust->version)},
                          {"roots", absl::StrCat(own.roots.size())},
                          {"jwt_keys", absl::StrCat(own.jwt_keys.size())}});
  for (const Listener& listener : listeners) listener(trust);
}

std::shared_ptr<const sds::Trust> ToldTrust::Current() const {
  MutexLock lock(mutex_);
  return current_;
}

void ToldTrust::AddListener(Listener listener) {
  MutexLock lock(mutex_);
  listeners_.push_back(std::move(listener));
}

std::shared_ptr<const ChainVerifier> ToldTrust::verifier() const {
  MutexLock lock(mutex_);
  return verifier_;
}

TrustDomain ToldTrust::trust_domain() const {
  const std::shared_ptr<const sds::Trust> trust = Current();
  return trust == nullptr ? TrustDomain() : trust->domains.front().trust_domain;
}

}  // namespace meshca::agent
