#include "ca/authority/authority_manager.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/authority/authority_rows.h"
#include "ca/authority/plugged_in_ca.h"
#include "ca/authority/rotation_change.h"
#include "ca/authority/sealed_key_store.h"
#include "ca/authority/self_signed_source.h"
#include "ca/authority/unrecorded_grace.h"
#include "ca/base/fault_point.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

constexpr absl::Duration kMarkEvery = absl::Minutes(1);
constexpr absl::Duration kRetryAfter = absl::Seconds(5);
// How often a change is judged again after another server's came first. Each loss means that the other one got on.
constexpr int kAttemptsMax = 5;
constexpr char kSelf[] = "meshca";  // the actor in the audit log

std::unique_ptr<AuthoritySource> MakeSource(const AuthorityOptions& options, const AuthorityMaker& maker) {
  if (!options.plugged_in_folder.empty()) {
    return std::make_unique<PluggedInSource>(options.trust_domain, options.plugged_in_folder);
  }
  return std::make_unique<SelfSignedSource>(maker);
}

absl::StatusOr<std::string> GetSettingOrEmpty(AuthorityStore& store, absl::string_view name) {
  auto value = store.GetSetting(name);
  if (absl::IsNotFound(value.status())) return std::string();
  return value;
}

// Whether what signs now can go on signing until the clock is believed again.
bool CanWait(const RenewalStep& step, const RenewalPlan& plan, const std::vector<SigningAuthority>& authorities) {
  if (step.kind != RenewalStep::Kind::kMakeIssuing) return false;
  return std::any_of(authorities.begin(), authorities.end(), [&plan](const SigningAuthority& authority) {
    return authority.id == plan.issuing_id && !authority.tainted;
  });
}

bool SameChain(const StoredAuthority& row, const AuthoritySet& set) {
  std::vector<std::string> chain = {set.issuing->der().bytes()};
  for (const Certificate& next : set.upstream) chain.push_back(next.der().bytes());
  return row.chain_der == chain;
}

// Does the store hold `set` already, as what is active?
bool IsActiveAlready(const AuthoritiesAndBundle& state, const AuthoritySet& set) {
  const StoredAuthority* root = FindActive(state, AuthorityRole::kRoot);
  const StoredAuthority* issuing = FindActive(state, AuthorityRole::kIssuing);
  if (root == nullptr || issuing == nullptr || !state.bundle.has_value()) return false;
  if (root->chain_der.front() != set.root.der().bytes() || issuing->root_id != root->id) return false;
  for (const Certificate& more : set.more_roots) {
    const std::vector<std::string>& trusted = state.bundle->roots_der;
    if (std::find(trusted.begin(), trusted.end(), more.der().bytes()) == trusted.end()) return false;
  }
  // A root whose key is at hand keeps the issuing authority it has.
  if (!set.issuing.has_value()) return root->key_reference == set.key_reference || root->key_reference == kSealedKey;
  return SameChain(*issuing, set) &&
         (issuing->key_reference == set.key_reference || issuing->key_reference == kSealedKey);
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
      policy_{options_.issuing_lifetime, options_.leaf_lifetime_max},
      store_(store),
      clock_(clock, options_.leaf_lifetime_max),
      maker_(options_, keys, entropy),
      source_(MakeSource(options_, maker_)) {}

absl::Status AuthorityManager::Start() {
  MutexLock lock(turn_);
  absl::Time now = clock_.Now();
  MESHCA_RETURN_IF_ERROR(Reload());
  MESHCA_RETURN_IF_ERROR(LoadMark());
  if (state_.authorities.empty()) MESHCA_RETURN_IF_ERROR(MakeFirst(now));
  if (state_.trust_domain != options_.trust_domain.name()) {
    return WithReason(
        absl::FailedPreconditionError(absl::StrCat(
            "this state belongs to the trust domain ", state_.trust_domain, " and the configuration says ",
            options_.trust_domain.name(), ": give the server another state directory, or the old --trust-domain")),
        "TRUST_DOMAIN_MISMATCH");
  }
  MESHCA_RETURN_IF_ERROR(LoadGrace());
  MESHCA_RETURN_IF_ERROR(FinishRestore(now));
  // Sealed keys that do not open mean a wrong key file: nothing to go on with. A plugged-in one may come back.
  const StoredAuthority* issuing = FindActive(state_, AuthorityRole::kIssuing);
  if (issuing != nullptr && issuing->key_reference == kSealedKey) MESHCA_RETURN_IF_ERROR(OpenActiveKey());
  MESHCA_RETURN_IF_ERROR(BuildSnapshot(options_.trust_domain, state_, "", nullptr).status());
  Work();
  return absl::OkStatus();
}

std::shared_ptr<const AuthoritySnapshot> AuthorityManager::Current() const {
  MutexLock lock(mutex_);
  return current_;
}

void AuthorityManager::AddListener(Listener listener) {
  MutexLock lock(mutex_);
  listeners_.push_back(std::move(listener));
}

absl::Time AuthorityManager::Tick(absl::Time now) {
  MutexLock lock(turn_);
  return now + Work();
}

std::string AuthorityManager::LastError() const {
  MutexLock lock(mutex_);
  return last_error_;
}

std::string AuthorityManager::WhyNotSigning() const {
  MutexLock lock(mutex_);
  return why_not_signing_;
}

absl::StatusOr<absl::Time> AuthorityManager::BelievedNow() const {
  const GuardedClock::Look look = clock_.Judge();
  if (look.verdict == ClockVerdict::kSteady) return look.now;
  return WithReason(absl::FailedPreconditionError(look.finding), "CLOCK_UNSTEADY");
}

bool AuthorityManager::PluggedInRefused() const {
  MutexLock lock(mutex_);
  return plugged_in_refused_;
}

absl::Status AuthorityManager::Reload() {
  MESHCA_ASSIGN_OR_RETURN(AuthoritiesAndBundle state, store_.LoadAuthorities());
  if (state.revision == state_.revision && !authorities_.empty()) return absl::OkStatus();
  std::vector<SigningAuthority> authorities;
  for (const StoredAuthority& row : state.authorities) {
    MESHCA_ASSIGN_OR_RETURN(SigningAuthority authority, ToAuthority(row));
    authorities.push_back(std::move(authority));
  }
  state_ = std::move(state);
  authorities_ = std::move(authorities);
  return absl::OkStatus();
}

// Commits, then reads back what the store made of it. When reading fails the change stands all the same, and the next
// round finds it.
absl::Status AuthorityManager::Commit(const AuthorityChange& change) {
  const std::string& action = change.audit.front().action;
  const std::vector<StoredKey> keys_given_up = KeysGivenUp(state_, change);
  FaultPoint(action, ".before");
  MESHCA_RETURN_IF_ERROR(store_.CommitAuthorities(change).status());
  FaultPoint(action, ".after");
  for (const StoredKey& key : keys_given_up) {
    // No row refers to it any more, so nothing but its secrecy is at stake, and nothing here can try again later.
    if (const absl::Status destroyed = maker_.keys().Destroy(key); !destroyed.ok()) {
      LogError("a private key that is no longer used could not be destroyed", {{"error", destroyed.ToString()}});
    }
  }
  for (const AuditEntry& entry : change.audit) {
    LogInfo(entry.action, {{"target", entry.target}, {"actor", entry.actor}, {"detail", entry.detail}});
  }
  return Reload();
}

absl::Status AuthorityManager::Change(MakeChange make) {
  MutexLock lock(turn_);
  absl::Status status = absl::AbortedError("never tried");
  for (int attempt = 0; attempt < kAttemptsMax && absl::IsAborted(status); ++attempt) {
    MESHCA_RETURN_IF_ERROR(Reload());
    MESHCA_ASSIGN_OR_RETURN(const AuthorityChange change, make(state_));
    status = Commit(change);
  }
  MESHCA_RETURN_IF_ERROR(status);
  Work();
  return absl::OkStatus();
}

absl::Status AuthorityManager::AcceptClock(const std::string& actor) {
  MutexLock lock(turn_);
  const absl::Time now = clock_.Now();
  MESHCA_RETURN_IF_ERROR(Reload());
  const absl::Time before = clock_.mark().newest;
  AuthorityChange change = StartChange(state_, options_.trust_domain);
  change.audit.push_back(
      MakeAudit("clock.accept", "", {actor, absl::StrCat("the newest time seen was ", absl::FormatTime(before)), now}));
  MESHCA_RETURN_IF_ERROR(Commit(change));
  clock_.Accept();
  const ClockMark mark = clock_.mark();
  MESHCA_RETURN_IF_ERROR(store_.PutSetting(kSettingClockMark, mark.ToText()));
  mark_written_ = mark.newest;
  absl::Status mended = MendRetireNotBefore(mark.newest);
  Work();
  return mended;
}

// A restore that was finished under a clock ahead of this one forbade retirement for as long as that was ahead.
absl::Status AuthorityManager::MendRetireNotBefore(absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(const std::string text, GetSettingOrEmpty(store_, kSettingRetireNotBefore));
  int64_t seconds = 0;
  const absl::Time latest = now + options_.leaf_lifetime_max;
  if (!absl::SimpleAtoi(text, &seconds) || absl::FromUnixSeconds(seconds) <= latest) return absl::OkStatus();
  return store_.PutSetting(kSettingRetireNotBefore, absl::StrCat(absl::ToUnixSeconds(latest)));
}

absl::Status AuthorityManager::MakeFirst(absl::Time now) {
  if (now < options_.earliest_first_start) {
    return WithReason(
        absl::FailedPreconditionError(absl::StrCat(
            "the clock of this machine says ", UtcText(now), ", and this meshca was made later, ",
            absl::FormatTime("%Y-%m-%d", options_.earliest_first_start, absl::UTCTimeZone()),
            ": a root made now would be dated wrong and could not be used once the clock is right. Set the clock first "
            "(timedatectl set-ntp true, or: date -u -s '2026-01-31 12:00:00'), then start again")),
        "CLOCK_NOT_SET");
  }
  MESHCA_ASSIGN_OR_RETURN(AuthoritySet set, source_->Load(now));
  absl::Status status = Adopt(set, /*seal_key=*/false, false, {kSelf, "first start", now});
  // Another server was first: its authorities are as good, and ours were never published.
  return absl::IsAborted(status) ? Reload() : status;
}

absl::Status AuthorityManager::LoadMark() {
  MESHCA_ASSIGN_OR_RETURN(std::string text, GetSettingOrEmpty(store_, kSettingClockMark));
  if (text.empty()) return absl::OkStatus();
  const std::optional<ClockMark> mark = ClockMark::FromText(text);
  if (!mark.has_value()) {
    return absl::DataLossError(absl::StrCat("setting ", kSettingClockMark, " is no mark: \"", text, "\""));
  }
  clock_.Remember(*mark);
  mark_written_ = mark->newest;
  return absl::OkStatus();
}

// Each step may be done again after a crash: the last one clears the mark.
absl::Status AuthorityManager::FinishRestore(absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(std::string recovered, GetSettingOrEmpty(store_, kSettingRecovered));
  if (recovered.empty() || !state_.bundle.has_value()) return absl::OkStatus();
  const ChangeReason reason = {kSelf, "restored from a backup", now};
  // What was issued after the backup was made has no record here, and its holders have nothing else to renew with. That
  // is granted to a restore alone: whoever writes the database could set the mark, and cannot seal it.
  std::vector<std::string> before = AuthoritiesBeforeRestore(authorities_);
  if (store_.GetSealedSetting(kSettingRecovered).ok() && !before.empty()) {
    MESHCA_RETURN_IF_ERROR(BeginGrace(std::move(before), {kSelf, reason.detail, clock_.LikelyNow()}));
  }
  const StoredAuthority* root = FindActive(state_, AuthorityRole::kRoot);
  AuthorityChange change;
  if (root != nullptr && !root->key_reference.empty()) {
    MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<NewKey> key, maker_.GenerateKey());
    MESHCA_ASSIGN_OR_RETURN(StoredAuthority issuing, maker_.MakeIssuing(*key, *root, now));
    change = ChangeIssuing(state_, options_.trust_domain, std::move(issuing), reason);
  } else {
    change = ChangeIssuing(state_, options_.trust_domain, *FindActive(state_, AuthorityRole::kIssuing), reason);
  }
  change.bundle = state_.bundle;
  change.bundle->sequence_number = SequenceAfterRestore(state_, now);
  change.bundle->published_at = now;
  MESHCA_RETURN_IF_ERROR(store_.PutSetting(
      kSettingRetireNotBefore, absl::StrCat(absl::ToUnixSeconds(clock_.LikelyNow() + options_.leaf_lifetime_max))));
  MESHCA_RETURN_IF_ERROR(Commit(change));
  return store_.PutSealedSetting(kSettingRecovered, "");
}

absl::Duration AuthorityManager::Work() {
  std::vector<std::string> errors;
  absl::Status reloaded = Reload();
  if (!reloaded.ok()) errors.push_back(absl::StrCat("authorities cannot be read: ", reloaded.message()));
  const GuardedClock::Look look = LookAtClock();
  if (!look.finding.empty()) errors.push_back(look.finding);
  if (absl::Status grace = LookAtGrace(look.now); !grace.ok()) {
    errors.push_back(absl::StrCat("renewal without a record: ", grace.message()));
  }
  RenewalPlan plan;
  if (!look.may_make) {
    // Dated by this clock, nothing would be of use to anybody.
    plan.why_not_signing = look.finding;
    plan.next_wakeup = look.now + kRetryAfter;
  } else {
    LookAtSource(look.now);
    if (!source_error_.ok()) errors.push_back(std::string(source_error_.message()));
    plan = DoWhatIsDue(look, errors);
    if (!plan.why_not_signing.empty()) errors.push_back(absl::StrCat("cannot sign: ", plan.why_not_signing));
    errors.insert(errors.end(), plan.warnings.begin(), plan.warnings.end());
  }
  {
    // Before the snapshot it explains.
    MutexLock lock(mutex_);
    why_not_signing_ = plan.why_not_signing;
  }
  Publish(plan.issuing_id, errors);
  Say(errors);
  absl::Duration next = std::min(plan.next_wakeup - look.now, kMarkEvery);
  if (!options_.plugged_in_folder.empty()) next = std::min(next, options_.plugged_in_poll);
  return errors.empty() ? next : std::min(next, kRetryAfter);
}

GuardedClock::Look AuthorityManager::LookAtClock() {
  GuardedClock::Look look = clock_.Observe();
  const ClockMark mark = clock_.mark();
  if (mark.newest >= mark_written_ + kMarkEvery) {
    // A mark that cannot be written now is written with the next round: nothing else depends on it.
    if (store_.PutSetting(kSettingClockMark, mark.ToText()).ok()) mark_written_ = mark.newest;
  }
  return look;
}

void AuthorityManager::LookAtSource(absl::Time now) {
  auto fingerprint = source_->Fingerprint();
  if (!fingerprint.ok()) {
    source_error_ = fingerprint.status();
    return;
  }
  if (fingerprint->empty() || *fingerprint == source_fingerprint_) return;
  absl::Status taken = TakeChangedSet(now);
  // The files may have been exchanged while they were read: judge what stands still.
  auto after = source_->Fingerprint();
  if (!after.ok() || *after != *fingerprint) return;
  source_error_ = taken.ok() ? absl::OkStatus() : Annotate(taken, "plugged-in CA");
  // A refused set is judged again every time: a date may come, or an operator may rotate the root.
  source_fingerprint_ = taken.ok() ? *fingerprint : std::string();
}

absl::Status AuthorityManager::TakeChangedSet(absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(AuthoritySet loaded, source_->Load(now));
  std::string left_out;
  const AuthoritySet set = WithoutLostRoots(std::move(loaded), left_out);
  const std::string& folder = options_.plugged_in_folder;
  const StoredAuthority* root = FindActive(state_, AuthorityRole::kRoot);
  if (!IsActiveAlready(state_, set)) {
    if (root != nullptr && root->id != set.root.spki_sha256_hex()) {
      MESHCA_RETURN_IF_ERROR(
          RotateTo(set, folder, false, {kSelf, absl::StrCat("changed set in ", folder, " with a new root"), now}));
    } else {
      MESHCA_RETURN_IF_ERROR(Adopt(set, false, false, {kSelf, absl::StrCat("changed set in ", folder), now}));
    }
  }
  if (!left_out.empty()) {
    LogWarning("the plugged-in CA lists roots that were retired or tainted here; they stay untrusted",
               {{"folder", folder}, {"roots", left_out}});
  }
  return absl::OkStatus();
}

AuthoritySet AuthorityManager::WithoutLostRoots(AuthoritySet set, std::string& left_out) const {
  std::vector<Certificate> kept;
  kept.reserve(set.more_roots.size());
  for (Certificate& root : set.more_roots) {
    if (MayBeTrusted(state_, root)) {
      kept.push_back(std::move(root));
    } else {
      absl::StrAppend(&left_out, left_out.empty() ? "" : ", ", root.spki_sha256_hex().substr(0, 16));
    }
  }
  set.more_roots = std::move(kept);
  return set;
}

absl::Status AuthorityManager::RotateTo(const AuthoritySet& set, const std::string& folder, bool seal_key,
                                        const ChangeReason& reason) {
  const std::string root_id = set.root.spki_sha256_hex();
  if (const RootRotation* running = RunningRotation(state_); running != nullptr) {
    if (running->new_root_id == root_id) return absl::OkStatus();
    return WithReason(
        absl::FailedPreconditionError(
            absl::StrCat(folder, ": its root ", root_id.substr(0, 16), " is not that of the rotation that runs, ",
                         running->new_root_id.substr(0, 16), ": the set is held until `meshca root status` says done")),
        "ROOT_CHANGE_HELD");
  }
  if (const StoredAuthority* known = FindById(state_, root_id);
      known != nullptr && known->state == AuthorityState::kRetired) {
    return WithReason(
        absl::FailedPreconditionError(absl::StrCat(
            folder, ": its root ", root_id.substr(0, 16), " was retired ", absl::FormatTime(known->retired_at),
            ": a retired root does not come back; put a set with another root there, or the one that is active")),
        "ROOT_RETIRED");
  }
  MESHCA_ASSIGN_OR_RETURN(AuthorityRows rows, RowsOf(set, seal_key, reason.now));
  const std::vector<std::string> more_roots = rows.more_roots_der;
  NewRoot next{std::move(rows.root), std::nullopt};
  if (set.issuing.has_value()) next.issuing = std::move(rows.issuing);
  MESHCA_RETURN_IF_ERROR(maker_.CrossCertify(state_, reason.now, next));
  for (StoredAuthority* row : {&next.root, next.issuing.has_value() ? &*next.issuing : nullptr}) {
    if (row == nullptr) continue;
    const StoredAuthority* known = FindById(state_, row->id);
    row->activated_at = known == nullptr ? absl::InfiniteFuture() : known->activated_at;
  }
  MESHCA_ASSIGN_OR_RETURN(const std::optional<StoredAuthority> kept, KeepIssuingKey());
  MESHCA_ASSIGN_OR_RETURN(AuthorityChange change,
                          PrepareRotation(state_, options_.trust_domain, std::move(next), RotationOptions(), reason));
  if (kept.has_value()) change.authorities.push_back(*kept);
  // The set's other roots are trusted at once, as those of a set with the present root are.
  std::vector<std::string> roots = state_.bundle->roots_der;
  for (const std::string& der : more_roots) AddUnique(roots, der);
  PublishRoots(state_, std::move(roots), reason.now, change);
  return Commit(change);
}

absl::StatusOr<std::optional<StoredAuthority>> AuthorityManager::KeepIssuingKey() {
  const StoredAuthority* issuing = FindActive(state_, AuthorityRole::kIssuing);
  if (issuing == nullptr || issuing->key_reference == kSealedKey || key_id_ != issuing->id) return std::nullopt;
  const auto* key = dynamic_cast<const SoftwareKey*>(key_.get());
  if (key == nullptr) return std::nullopt;
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<NewKey> imported, maker_.keys().Import(key->ToPkcs8Der()));
  StoredAuthority kept = *issuing;
  MESHCA_RETURN_IF_ERROR(PutKey(*imported, kept));
  return kept;
}

RenewalPlan AuthorityManager::DoWhatIsDue(const GuardedClock::Look& look, std::vector<std::string>& errors) {
  const absl::Time now = look.now;
  absl::Status status;
  std::unique_ptr<NewKey> key;  // of an issuing authority that is not committed yet
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    RenewalPlan plan = PlanRenewal(now, authorities_, policy_);
    bool acted = false;
    for (const RenewalStep& step : plan.steps) {
      // A clock that jumped ahead must not declare anything expired, nor date an authority that can wait. But it may be
      // right, and then nothing would sign without a new one: should it be wrong, that one is replaced afterwards.
      if (look.verdict != ClockVerdict::kSteady &&
          (step.kind == RenewalStep::Kind::kRetire || CanWait(step, plan, authorities_))) {
        continue;
      }
      status = TakeStep(step, now, key);
      acted = true;
      break;  // One step, then judge anew on what the store holds now.
    }
    if (!acted) return plan;
    if (absl::IsAborted(status)) status = Reload();
    if (!status.ok()) break;
  }
  if (!status.ok()) errors.push_back(absl::StrCat("authority renewal: ", status.message()));
  return PlanRenewal(now, authorities_, policy_);
}

absl::Status AuthorityManager::TakeStep(const RenewalStep& step, absl::Time now, std::unique_ptr<NewKey>& key) {
  const ChangeReason reason = {kSelf, step.why, now};
  if (step.kind == RenewalStep::Kind::kRetire) {
    return Commit(RetireAuthority(state_, options_.trust_domain, step.authority_id, reason));
  }
  if (key == nullptr) {
    MESHCA_ASSIGN_OR_RETURN(key, maker_.GenerateKey());
  }
  MESHCA_ASSIGN_OR_RETURN(StoredAuthority issuing, maker_.MakeIssuing(*key, *FindById(state_, step.authority_id), now));
  MESHCA_RETURN_IF_ERROR(Commit(ChangeIssuing(state_, options_.trust_domain, std::move(issuing), reason)));
  key = nullptr;  // a second issuing authority gets a key of its own
  return absl::OkStatus();
}

absl::Status AuthorityManager::Adopt(const AuthoritySet& set, bool seal_key, bool drop_old_roots,
                                     const ChangeReason& reason) {
  MESHCA_ASSIGN_OR_RETURN(AuthorityRows rows, RowsOf(set, seal_key, reason.now));
  std::string issuing_id = rows.issuing.id;
  MESHCA_RETURN_IF_ERROR(Commit(ChangeToRows(state_, options_.trust_domain, std::move(rows), drop_old_roots, reason)));
  if (set.issuing.has_value()) {
    // The key that was validated with the set, not whatever stands in the folder by now.
    MESHCA_ASSIGN_OR_RETURN(key_, SoftwareKey::FromPkcs8Der(set.key_pkcs8.reveal()));
    key_id_ = issuing_id;
  }
  return absl::OkStatus();
}

absl::StatusOr<AuthorityRows> AuthorityManager::RowsOf(const AuthoritySet& set, bool seal_key, absl::Time now) const {
  AuthorityRows rows;
  const std::string root_id = set.root.spki_sha256_hex();
  rows.root = MakeRow(AuthorityRole::kRoot, AuthorityState::kActive, set.root, {}, root_id, now);
  if (set.issuing.has_value()) {
    rows.issuing = MakeRow(AuthorityRole::kIssuing, AuthorityState::kActive, *set.issuing, set.upstream, root_id, now);
  }
  StoredAuthority& keyed = set.issuing.has_value() ? rows.issuing : rows.root;
  if (set.new_key != nullptr) {
    MESHCA_RETURN_IF_ERROR(PutKey(*set.new_key, keyed));
  } else if (seal_key) {
    MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<NewKey> imported, maker_.keys().Import(set.key_pkcs8));
    MESHCA_RETURN_IF_ERROR(PutKey(*imported, keyed));
  } else {
    keyed.key_reference = set.key_reference;
  }
  for (StoredAuthority* row : {&rows.root, &rows.issuing}) {
    const StoredAuthority* known = FindById(state_, row->id);
    if (known == nullptr) continue;
    if (known->tainted) {
      return absl::FailedPreconditionError(
          absl::StrCat(AuthorityRoleName(row->role), " authority ", row->id, " is tainted: it may not sign again"));
    }
    row->created_at = known->created_at;
    if (row->key_reference.empty() && known->chain_der.front() == row->chain_der.front()) {
      row->key_reference = known->key_reference;
      row->sealed_key = known->sealed_key;
    }
  }
  if (!set.issuing.has_value()) {
    MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<NewKey> key, maker_.GenerateKey());
    MESHCA_ASSIGN_OR_RETURN(rows.issuing, maker_.MakeIssuing(*key, rows.root, now));
  }
  for (const Certificate& root : set.more_roots) rows.more_roots_der.push_back(root.der().bytes());
  return rows;
}

absl::Status AuthorityManager::Import(const std::string& folder, const std::string& actor,
                                      const ImportOptions& options) {
  MutexLock lock(turn_);
  const absl::Time now = clock_.Now();
  MESHCA_RETURN_IF_ERROR(Reload());
  MESHCA_ASSIGN_OR_RETURN(AuthoritySet loaded, LoadPluggedInSet(options_.trust_domain, folder, now));
  std::string left_out;
  const AuthoritySet set = WithoutLostRoots(std::move(loaded), left_out);
  if (!IsActiveAlready(state_, set)) MESHCA_RETURN_IF_ERROR(TakeImported(set, folder, actor, options, now));
  if (options.renew_unrecorded) {
    // Its end must not move with a clock that is ahead.
    MESHCA_RETURN_IF_ERROR(
        BeginGrace({set.keyed().spki_sha256_hex()}, {actor, absl::StrCat("import ", folder), clock_.LikelyNow()}));
  }
  if (!left_out.empty()) {
    LogWarning("the imported CA lists roots that were retired or tainted here; they stay untrusted",
               {{"folder", folder}, {"roots", left_out}});
  }
  Work();
  return absl::OkStatus();
}

absl::Status AuthorityManager::TakeImported(const AuthoritySet& set, const std::string& folder,
                                            const std::string& actor, const ImportOptions& options, absl::Time now) {
  const std::string root_id = set.root.spki_sha256_hex();
  const StoredAuthority* root = FindActive(state_, AuthorityRole::kRoot);
  const bool new_root = root != nullptr && root->id != root_id;
  const GuardedClock::Look look = clock_.Judge();
  // Whether anything lives under the present root is asked of the clock.
  if (new_root && look.verdict != ClockVerdict::kSteady) {
    return WithReason(
        absl::FailedPreconditionError(absl::StrCat("import of a new root: ", look.finding, "; then import again")),
        "CLOCK_UNSTEADY");
  }
  MESHCA_ASSIGN_OR_RETURN(const uint64_t others, LeavesOutside(root_id, options.own_leaves, now));
  const RootRotation* running = RunningRotation(state_);
  if (new_root && running != nullptr) {
    // Imported again, or as an answer that was lost: the rotation leads there.
    if (running->new_root_id == root_id && !options.force) return absl::OkStatus();
    return WithReason(absl::FailedPreconditionError(absl::StrCat(
                          "rotation ", running->number,
                          " runs: import when `meshca root status` says done, or `meshca root abort` it first")),
                      "ROTATION_RUNS");
  }
  std::string detail = absl::StrCat("import ", folder);
  if (new_root && others > 0 && !options.force) {
    absl::StrAppend(&detail, ": rotates to it, because ", others, " certificates live under the present root");
    return RotateTo(set, folder, true, {actor, detail, now});
  }
  if (new_root && others > 0) {
    absl::StrAppend(&detail, ", forced with ", others, " certificates under the root before it");
  }
  MESHCA_RETURN_IF_ERROR(Adopt(set, true, false, {actor, detail, now}));
  // What the old root signed until this commit was signed in good faith: only now can nothing more come.
  MESHCA_ASSIGN_OR_RETURN(const uint64_t left, LeavesOutside(root_id, options.own_leaves, now));
  if (!new_root || left > 0) return absl::OkStatus();
  return Adopt(set, true, true, {actor, absl::StrCat(detail, ": nothing used the root before"), now});
}

absl::Status AuthorityManager::LoadGrace() {
  const absl::StatusOr<std::string> text = store_.GetSealedSetting(kSettingUnrecordedGrace);
  grace_.reset();
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  MESHCA_RETURN_IF_ERROR(text.status());
  if (text->empty()) return absl::OkStatus();
  grace_ = UnrecordedGraceFromText(*text);
  if (grace_.has_value()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("setting ", kSettingUnrecordedGrace, " cannot be read: \"", *text, "\""));
}

absl::Status AuthorityManager::CommitGrace(const std::optional<UnrecordedGrace>& grace,
                                           const std::vector<AuditEntry>& audit) {
  absl::Status status = absl::AbortedError("never tried");
  for (int attempt = 0; attempt < kAttemptsMax && absl::IsAborted(status); ++attempt) {
    MESHCA_RETURN_IF_ERROR(Reload());
    AuthorityChange change = StartChange(state_, options_.trust_domain);
    change.sealed_settings[std::string(kSettingUnrecordedGrace)] =
        grace.has_value() ? UnrecordedGraceToText(*grace) : "";
    change.audit = audit;
    status = Commit(change);
  }
  MESHCA_RETURN_IF_ERROR(status);
  grace_ = grace;
  return absl::OkStatus();
}

absl::Status AuthorityManager::BeginGrace(std::vector<std::string> authority_ids, const ChangeReason& reason) {
  UnrecordedGrace grace;
  grace.until = reason.now + options_.leaf_lifetime_max;
  grace.authority_ids = std::move(authority_ids);
  grace.why = reason.detail;
  ChangeReason audited = reason;
  audited.detail = absl::StrCat(reason.detail, ": certificates without a record may renew until ",
                                absl::FormatTime(absl::RFC3339_sec, grace.until, absl::UTCTimeZone()));
  std::vector<AuditEntry> audit;
  for (const std::string& id : grace.authority_ids) audit.push_back(MakeAudit("unrecorded.allow", id, audited));
  return CommitGrace(grace_.has_value() ? JoinGraces(*grace_, grace) : grace, audit);
}

absl::Status AuthorityManager::LookAtGrace(absl::Time now) {
  if (!grace_.has_value()) return absl::OkStatus();
  std::optional<UnrecordedGrace> left = RemainingGrace(*grace_, authorities_, clock_.mark().newest);
  std::vector<AuditEntry> audit;
  // Begun by a clock that was ahead, it would last as much longer than one longest lifetime.
  const absl::Time latest = now + options_.leaf_lifetime_max;
  if (left.has_value() && left->until > latest && clock_.Judge().verdict == ClockVerdict::kSteady) {
    left->until = latest;
    audit.push_back(MakeAudit("unrecorded.shorten", "", {kSelf, "it was begun by a clock that was ahead", now}));
  }
  if (left == grace_) return absl::OkStatus();
  for (const std::string& id : grace_->authority_ids) {
    if (left.has_value() &&
        std::find(left->authority_ids.begin(), left->authority_ids.end(), id) != left->authority_ids.end()) {
      continue;
    }
    audit.push_back(MakeAudit("unrecorded.end", id, {kSelf, grace_->why, now}));
  }
  return CommitGrace(left, audit);
}

absl::StatusOr<uint64_t> AuthorityManager::LeavesOutside(absl::string_view root_id, uint64_t own_leaves,
                                                         absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(const auto live, store_.CountLiveLeaves(now));
  uint64_t others = 0;
  for (const auto& [id, count] : live) {
    const StoredAuthority* issuer = FindById(state_, id);
    if (issuer == nullptr || issuer->root_id != root_id) others += count;
  }
  return others - std::min(others, own_leaves);
}

absl::Status AuthorityManager::OpenActiveKey() {
  const StoredAuthority* issuing = FindActive(state_, AuthorityRole::kIssuing);
  if (issuing == nullptr || (key_ != nullptr && key_id_ == issuing->id)) return absl::OkStatus();
  key_ = nullptr;
  MESHCA_ASSIGN_OR_RETURN(key_, OpenKey(maker_.keys(), *issuing));
  key_id_ = issuing->id;
  return absl::OkStatus();
}

void AuthorityManager::Publish(absl::string_view issuing_id, std::vector<std::string>& errors) {
  absl::Status opened = OpenActiveKey();
  if (!opened.ok()) errors.push_back(absl::StrCat("cannot sign: ", opened.message()));
  if (!opened.ok()) {
    MutexLock lock(mutex_);
    why_not_signing_ = std::string(opened.message());
  }
  const bool signs = opened.ok() && !issuing_id.empty() && issuing_id == key_id_;
  // Judged here too: an end that could not be written yet holds all the same.
  std::optional<UnrecordedGrace> grace;
  if (grace_.has_value()) grace = RemainingGrace(*grace_, authorities_, clock_.mark().newest);
  std::shared_ptr<const AuthoritySnapshot> before = Current();
  if (before != nullptr && before->revision == state_.revision && (before->issuing != nullptr) == signs &&
      before->unrecorded == grace) {
    return;
  }
  auto snapshot =
      BuildSnapshot(options_.trust_domain, state_, signs ? issuing_id : "", signs ? key_ : nullptr, std::move(grace));
  if (!snapshot.ok()) {
    errors.push_back(std::string(snapshot.status().message()));
    return;
  }
  std::vector<Listener> listeners;
  {
    MutexLock lock(mutex_);
    current_ = *snapshot;
    listeners = listeners_;
  }
  for (const Listener& listener : listeners) listener(*snapshot);
}

void AuthorityManager::Say(const std::vector<std::string>& errors) {
  std::string joined = absl::StrJoin(errors, "; ");
  {
    MutexLock lock(mutex_);
    plugged_in_refused_ = !source_error_.ok();
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
