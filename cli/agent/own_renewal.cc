#include "cli/agent/own_renewal.h"

#include <algorithm>
#include <utility>

#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/x509/key_request.h"
#include "meshca/agent/v1/agent.pb.h"

namespace meshca::agent {

OwnRenewal::OwnRenewal(OwnRenewalOptions options, Parts parts, std::function<void()> renewed, const JudgedClock& clock,
                       EntropySource& entropy, SerialExecutor& executor)
    : options_(options),
      parts_(parts),
      renewed_(std::move(renewed)),
      clock_(clock),
      entropy_(entropy),
      executor_(executor),
      jitter_(options.retry_first, options.retry_max, entropy) {
  executor.AddDuty([this] { return Advance(); });
}

absl::Duration OwnRenewal::Advance() {
  const OwnIdentityPtr identity = parts_.identity.Current();
  if (identity == nullptr) return absl::InfiniteDuration();
  if (identity->serial != timed_) {
    const absl::Duration life = identity->validity.lifetime();
    const absl::Duration tenth = life / 10;
    renew_at_ = identity->validity.not_before + options_.renew_at * life + UniformDuration(entropy_, -tenth, tenth);
    timed_ = identity->serial;
  }
  ForgetWhatIsOvertaken(*identity);
  if (clock_.SinceBoot() < next_) return next_ - clock_.SinceBoot();
  // One that has ended is of no use any more, and must not stand where the agent has joined again since.
  if (unsaved_ != nullptr && unsaved_->validity.not_after <= clock_.LikelyNow()) unsaved_ = nullptr;
  if (unsaved_ != nullptr) Save();
  const OwnIdentityPtr now = parts_.identity.Current();
  // One that is used although it could not be written is renewed as any other.
  if (!asked_ && (unsaved_ == nullptr || unsaved_ == now) && IsDue(*now)) Ask(*now);
  return absl::InfiniteDuration();  // until the executor's next look
}

void OwnRenewal::ForgetWhatIsOvertaken(const OwnIdentity& identity) {
  if (unsaved_ == nullptr || identity.serial == parent_ || identity.serial == unsaved_->serial) return;
  unsaved_ = nullptr;
}

bool OwnRenewal::IsDue(const OwnIdentity& identity) const {
  const absl::Time now = clock_.LikelyNow();
  // An ended certificate opens no connection: the agent has to join again.
  if (!clock_.MayMake() || now >= identity.validity.not_after) return false;
  return soon_ || now >= renew_at_;
}

void OwnRenewal::Ask(const OwnIdentity& identity) {
  absl::StatusOr<std::shared_ptr<const SoftwareKey>> made = NewKey(identity);
  if (!made.ok()) return NoteFailure(made.status());
  std::shared_ptr<const SoftwareKey> key = *std::move(made);
  absl::StatusOr<Der> csr = MakeKeyRequest(*key);
  if (!csr.ok()) return NoteFailure(csr.status());
  v1::SignRequest request;
  v1::CertificateRequest& one = *request.add_requests();
  one.set_csr(std::move(*csr).Release());
  one.set_spiffe_id(identity.id.uri());
  one.set_parent_serial(identity.serial);
  asked_ = true;
  parent_ = identity.serial;
  parts_.ca.Call(kSignMethod, request.SerializeAsString(),
                 [this, key = std::move(key), id = identity.id](absl::StatusOr<std::string> response) {
                   asked_ = false;
                   TakeAnswer(key, id, response);
                 });
}

// Kept on disk until its certificate is: where the CA recorded it and the answer was lost, it is the key that the CA
// knows this agent by, and after the certificate's end the only one to join again by.
absl::StatusOr<std::shared_ptr<const SoftwareKey>> OwnRenewal::NewKey(const OwnIdentity& identity) {
  absl::StatusOr<std::unique_ptr<SoftwareKey>> kept = parts_.state.JoiningKey();
  if (kept.ok() && (*kept)->public_key() == identity.key->public_key()) {
    // Left by a process that ended between two writes.
    const absl::Status forgotten = parts_.state.ForgetJoiningKey();
    if (forgotten.ok()) {
      kept = parts_.state.JoiningKey();
    } else {
      kept = forgotten;
    }
  }
  // A full disk keeps no agent from renewing.
  if (!kept.ok()) kept = SoftwareKey::Generate(KeyType::kEcP256);
  if (!kept.ok()) return kept.status();
  return std::shared_ptr<const SoftwareKey>(*std::move(kept));
}

void OwnRenewal::TakeAnswer(std::shared_ptr<const SoftwareKey> key, const SpiffeId& id,
                            const absl::StatusOr<std::string>& response) {
  if (parts_.identity.Current()->serial != parent_) return;  // the agent has joined anew
  absl::StatusOr<OwnIdentityPtr> identity = ReadAnswer(std::move(key), id, response);
  if (!identity.ok()) return NoteFailure(Annotate(identity.status(), "renewal of the agent's own certificate"));
  unsaved_ = *std::move(identity);
  Save();
}

absl::StatusOr<OwnIdentityPtr> OwnRenewal::ReadAnswer(std::shared_ptr<const SoftwareKey> key, const SpiffeId& id,
                                                      const absl::StatusOr<std::string>& response) {
  if (!response.ok()) return response.status();
  v1::SignResponse answer;
  if (!answer.ParseFromString(*response) || answer.results_size() != 1) {
    return absl::InternalError("the CA's answer cannot be read");
  }
  MESHCA_RETURN_IF_ERROR(RefusalOf(answer.results(0)));
  const std::shared_ptr<const ChainVerifier> verifier = parts_.trust.verifier();
  if (verifier == nullptr) return absl::UnavailableError("this agent was not told yet what to trust");
  MESHCA_ASSIGN_OR_RETURN(
      sds::Svid svid, reader_.Read(answer.results(0).chain(), key->public_key(), id, *verifier, clock_.LikelyNow()));
  return MakeOwnIdentity(std::move(key), std::move(svid.chain));
}

void OwnRenewal::Save() {
  const absl::Status saved = parts_.state.SaveIdentity(*unsaved_);
  if (saved.ok()) {
    jitter_.Reset();
    next_ = absl::ZeroDuration();
    {
      MutexLock lock(mutex_);
      last_failure_ = absl::OkStatus();
    }
    // Where it cannot be removed, the next renewal passes over it.
    (void)parts_.state.ForgetJoiningKey();
    const OwnIdentityPtr identity = std::exchange(unsaved_, nullptr);
    if (parts_.identity.Current() != identity) Use(identity);
    return;
  }
  NoteFailure(Annotate(saved, "the agent's new certificate cannot be saved, and is not used before"));
  const OwnIdentityPtr current = parts_.identity.Current();
  const absl::Time now = clock_.LikelyNow();
  if (now >= current->validity.not_after && now < unsaved_->validity.not_after) Use(unsaved_);
}

void OwnRenewal::Use(OwnIdentityPtr identity) {
  LogInfo("the agent's own certificate is renewed",
          {{"serial", identity->serial}, {"not_after", Rfc3339Text(identity->validity.not_after)}});
  soon_ = false;
  parts_.identity.Set(std::move(identity));
  renewed_();
}

void OwnRenewal::NoteFailure(const absl::Status& why) {
  next_ = clock_.SinceBoot() + jitter_.Next();
  LogWarning("the agent's own certificate is not renewed yet", {{"why", std::string(why.message())}});
  MutexLock lock(mutex_);
  last_failure_ = why;
}

void OwnRenewal::RenewSoon() {
  executor_.Run([this] {
    soon_ = true;
    next_ = absl::ZeroDuration();
  });
}

absl::Status OwnRenewal::last_failure() const {
  MutexLock lock(mutex_);
  return last_failure_;
}

}  // namespace meshca::agent
