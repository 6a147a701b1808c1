#include "ca/authority/authority_manager.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/authority/jwt_key_mending.h"
#include "ca/authority/plugged_in_ca.h"
#include "ca/authority/restore_finish.h"
#include "ca/authority/sealed_key_store.h"
#include "ca/authority/self_signed_source.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

constexpr absl::Duration kRoundAgainAfterErrors = absl::Seconds(5);

std::unique_ptr<AuthoritySource> MakeSource(const AuthorityOptions& options, const AuthorityMaker& maker) {
  if (!options.plugged_in_folder.empty()) {
    return std::make_unique<PluggedInSource>(options.trust_domain, options.plugged_in_folder);
  }
  return std::make_unique<SelfSignedSource>(maker);
}

absl::Status ClockIsNotSet(absl::Time now, absl::Time earliest) {
  return WithReason(
      absl::FailedPreconditionError(absl::StrCat(
          "the clock of this machine says ", UtcText(now), ", and this meshca was made later, ", DateText(earliest),
          ": a root made now would be dated wrong and could not be used once the clock is right. Set the clock first "
          "(timedatectl set-ntp true, or: date -u -s '2026-01-31 12:00:00'), then start again")),
      "CLOCK_NOT_SET");
}

absl::Status OfAnotherTrustDomain(absl::string_view stored, absl::string_view configured) {
  return WithReason(absl::FailedPreconditionError(absl::StrCat(
                        "this state belongs to the trust domain ", stored, " and the configuration says ", configured,
                        ": give the server another state directory, or the old --trust-domain")),
                    "TRUST_DOMAIN_MISMATCH");
}

}  // namespace

absl::StatusOr<std::unique_ptr<AuthorityManager>> AuthorityManager::Create(AuthorityOptions options,
                                                                           AuthorityStore& store, KeyStore& keys,
                                                                           const Clock& clock, EntropySource& entropy) {
  MESHCA_RETURN_IF_ERROR(CheckAuthorityOptions(options));
  return std::unique_ptr<AuthorityManager>(new AuthorityManager(std::move(options), store, keys, clock, entropy));
}

AuthorityManager::AuthorityManager(AuthorityOptions options, AuthorityStore& store, KeyStore& keys, const Clock& clock,
                                   EntropySource& entropy)
    : options_(std::move(options)),
      maker_(options_, keys, entropy),
      publisher_(options_.trust_domain),
      ledger_(options_.trust_domain, store, keys),
      clock_(clock, ledger_, options_.leaf_lifetime_max),
      active_key_(ledger_, keys),
      active_jwt_key_(ledger_, keys),
      grace_(ledger_, clock_, options_.leaf_lifetime_max),
      adoption_(ledger_, maker_, active_key_),
      import_(ledger_, adoption_, grace_, clock_),
      source_(MakeSource(options_, maker_), options_.plugged_in_folder, ledger_, adoption_),
      renewal_(ledger_, maker_, RenewalPolicy{options_.issuing_lifetime, options_.leaf_lifetime_max}) {}

absl::Status AuthorityManager::Start() {
  MutexLock lock(turn_);
  MESHCA_RETURN_IF_ERROR(ledger_.Reload());
  MESHCA_RETURN_IF_ERROR(clock_.Load());
  if (ledger_.state().authorities.empty()) {
    MESHCA_RETURN_IF_ERROR(BeginTrustDomain());
  }
  if (ledger_.state().trust_domain != options_.trust_domain.name()) {
    return OfAnotherTrustDomain(ledger_.state().trust_domain, options_.trust_domain.name());
  }
  MESHCA_RETURN_IF_ERROR(grace_.Load());
  MESHCA_RETURN_IF_ERROR(FinishRestore(ledger_, maker_, clock_, grace_, options_.leaf_lifetime_max));
  // Sealed keys that do not open mean a wrong key file: nothing to go on with. A plugged-in one may come back.
  const StoredAuthority* issuing = FindActive(ledger_.state(), AuthorityRole::kIssuing);
  if (issuing != nullptr && issuing->key_reference == kSealedKey) {
    MESHCA_RETURN_IF_ERROR(active_key_.Open());
  }
  MESHCA_RETURN_IF_ERROR(BuildSnapshot(options_.trust_domain, ledger_.state(), Signers()).status());
  RunRound();
  return absl::OkStatus();
}

absl::Status AuthorityManager::BeginTrustDomain() {
  const absl::Time now = clock_.clock().Now();
  if (now < options_.earliest_first_start) return ClockIsNotSet(now, options_.earliest_first_start);
  const absl::Status status = source_.AdoptFirst(now);
  // Another server was first: its authorities are as good, and ours were never published.
  return absl::IsAborted(status) ? ledger_.Reload() : status;
}

absl::Time AuthorityManager::Tick(absl::Time now) {
  MutexLock lock(turn_);
  return now + RunRound();
}

absl::Status AuthorityManager::Change(AuthorityLedger::MakeChange make) {
  MutexLock lock(turn_);
  MESHCA_RETURN_IF_ERROR(ledger_.Change(make));
  RunRound();
  return absl::OkStatus();
}

absl::Status AuthorityManager::Import(const SetFiles& files, const std::string& actor, const ImportOptions& options) {
  MutexLock lock(turn_);
  MESHCA_RETURN_IF_ERROR(import_.Import(files, actor, options));
  RunRound();
  return absl::OkStatus();
}

absl::StatusOr<ExportedSet> AuthorityManager::Export(const ExportRequest& request, const std::string& actor) {
  MutexLock lock(turn_);
  MESHCA_ASSIGN_OR_RETURN(const absl::Time now, clock_.BelievedNow());
  StoredAuthority exported;
  MESHCA_RETURN_IF_ERROR(ledger_.Change([&](const AuthoritiesAndBundle& state) -> absl::StatusOr<AuthorityChange> {
    MESHCA_ASSIGN_OR_RETURN(exported, MakeExported(maker_, options_, state, request, now));
    return AddExported(
        state, options_.trust_domain, exported,
        {actor, absl::StrCat("an issuing authority for another CA, under root ", exported.root_id), now});
  }));
  absl::StatusOr<ExportedSet> set = ToExportedSet(ledger_.state(), exported);
  RunRound();
  return set;
}

absl::Status AuthorityManager::AcceptClock(const std::string& actor) {
  MutexLock lock(turn_);
  absl::Status accepted = clock_.Accept(actor);
  RunRound();
  return accepted;
}

std::string AuthorityManager::LastError() const {
  MutexLock lock(mutex_);
  return last_error_;
}

bool AuthorityManager::PluggedInRefused() const {
  MutexLock lock(mutex_);
  return plugged_in_refused_;
}

absl::Duration AuthorityManager::RunRound() {
  std::vector<std::string> errors;
  if (const absl::Status reloaded = ledger_.Reload(); !reloaded.ok()) {
    errors.push_back(absl::StrCat("authorities cannot be read: ", reloaded.message()));
  }
  const ClockLook look = clock_.Observe();
  if (!look.finding.empty()) errors.push_back(look.finding);
  if (const absl::Status ended = grace_.EndWhatIsOver(look.now); !ended.ok()) {
    errors.push_back(absl::StrCat("renewal without a record: ", ended.message()));
  }
  RenewalPlan plan;
  if (look.may_make) {
    plan = TakeWhatIsDue(look, errors);
  } else {
    // Dated by this clock, nothing would be of use to anybody.
    plan.why_not_signing = look.finding;
    plan.next_wakeup = look.now + kRoundAgainAfterErrors;
  }
  Publish(look, plan, errors);
  KeepErrors(errors);
  absl::Duration next = std::min(plan.next_wakeup - look.now, ClockWatch::kMarkEvery);
  if (!options_.plugged_in_folder.empty()) next = std::min(next, options_.plugged_in_poll);
  return errors.empty() ? next : std::min(next, kRoundAgainAfterErrors);
}

RenewalPlan AuthorityManager::TakeWhatIsDue(const ClockLook& look, std::vector<std::string>& errors) {
  source_.TakeChanges(look.now);
  if (!source_.error().ok()) errors.push_back(std::string(source_.error().message()));
  AuthorityRenewal::Outcome renewed = renewal_.TakeDueSteps(look);
  if (!renewed.error.ok()) errors.push_back(absl::StrCat("authority renewal: ", renewed.error.message()));
  if (const absl::Status mended = CommitMendedJwtKeys(ledger_, maker_, look.now); !mended.ok()) {
    errors.push_back(absl::StrCat("keys of JWT-SVIDs: ", mended.message()));
  }
  const RenewalPlan& plan = renewed.plan;
  if (!plan.why_not_signing.empty()) errors.push_back(absl::StrCat("cannot sign: ", plan.why_not_signing));
  errors.insert(errors.end(), plan.warnings.begin(), plan.warnings.end());
  return std::move(renewed.plan);
}

void AuthorityManager::Publish(const ClockLook& look, const RenewalPlan& plan, std::vector<std::string>& errors) {
  const Signers signers = OpenSigners(look, plan, errors);
  if (const absl::Status published = publisher_.Publish(ledger_.state(), signers, grace_.Remaining());
      !published.ok()) {
    errors.push_back(std::string(published.message()));
  }
}

Signers AuthorityManager::OpenSigners(const ClockLook& look, const RenewalPlan& plan,
                                      std::vector<std::string>& errors) {
  Signers signers;
  signers.why_not = plan.why_not_signing;
  if (const absl::Status opened = active_key_.Open(); !opened.ok()) {
    errors.push_back(absl::StrCat("cannot sign: ", opened.message()));
    signers.why_not = std::string(opened.message());
  } else if (!plan.issuing_id.empty() && plan.issuing_id == active_key_.authority_id()) {
    signers.issuing_id = plan.issuing_id;
    signers.key = active_key_.key();
  }
  if (const absl::Status opened = active_jwt_key_.Open(); !opened.ok()) {
    errors.push_back(absl::StrCat("cannot sign JWT-SVIDs: ", opened.message()));
    signers.why_no_jwt = std::string(opened.message());
  } else if (!look.may_make) {
    // A token dated by this clock would be refused, or good for longer than it should be.
    signers.why_no_jwt = look.finding;
  } else if (active_jwt_key_.signer() == nullptr) {
    signers.why_no_jwt = "no key of JWT-SVIDs could be made yet";
  } else {
    signers.jwt = active_jwt_key_.signer();
  }
  return signers;
}

void AuthorityManager::KeepErrors(const std::vector<std::string>& errors) {
  std::string joined = absl::StrJoin(errors, "; ");
  {
    MutexLock lock(mutex_);
    plugged_in_refused_ = !source_.error().ok();
    if (joined == last_error_) return;
    last_error_ = joined;
  }
  if (joined.empty()) {
    LogInfo("authorities are well again");
  } else {
    LogError("authorities", {{"error", joined}});
  }
}

}  // namespace meshca
