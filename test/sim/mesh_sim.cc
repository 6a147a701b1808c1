#include "test/sim/mesh_sim.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/x509/serial_number.h"

namespace meshca {
namespace {

constexpr absl::Duration kLeaf = absl::Hours(1);
constexpr size_t kHolders = 6;

AuthorityOptions Options() {
  AuthorityOptions options;
  options.trust_domain = TrustDomain::Parse("sim.test").value();
  options.root_lifetime = absl::Hours(24 * 3650);
  options.issuing_lifetime = absl::Hours(24 * 30);
  options.leaf_lifetime_max = kLeaf;
  return options;
}

}  // namespace

absl::StatusOr<uint64_t> CrashingStore::CommitAuthorities(const AuthorityChange& change) {
  const absl::Status dead = absl::UnavailableError("the process died");
  if (crashed) return dead;
  const Crash crash = std::exchange(next, Crash::kNever);
  crashed = crash != Crash::kNever;
  if (crash == Crash::kBefore) return dead;
  absl::StatusOr<uint64_t> revision = store_.CommitAuthorities(change);
  return crash == Crash::kAfter ? dead : revision;
}

MeshSim::MeshSim(uint64_t seed) : random_(seed) { StartServer(); }

MeshSim::~MeshSim() { EndServer(); }

void MeshSim::Note(std::string event) { events_.push_back(absl::StrCat(absl::FormatTime(clock_.Now()), " ", event)); }

void MeshSim::Broken(std::string what) {
  Note(absl::StrCat("BROKEN: ", what));
  if (broken_.empty()) broken_ = std::move(what);
}

void MeshSim::StartServer() {
  store_.crashed = false;
  store_.next = CrashingStore::Crash::kNever;
  EndServer();
  manager_ = AuthorityManager::Create(Options(), store_, keys_, clock_, entropy_).value();
  // On a full disk it does not come up; somebody starts it again and again.
  while (!manager_->Start().ok()) memory_.FailWrites(absl::OkStatus());
  registry_ = std::make_unique<SubscriberRegistry>(memory_, manager_->clock(), kLeaf);
  MESHCA_CHECK(registry_->Load().ok());
  evidence_ = std::make_unique<SimEvidence>(*registry_);
  RotationDriver::Parts parts;
  parts.authorities = manager_.get();
  parts.store = &store_;
  parts.inventory = &memory_;
  parts.evidence = evidence_.get();
  parts.reissuer = this;
  parts.policy = {absl::Seconds(2), absl::Minutes(10), kLeaf};
  parts.reissue_per_second = 10;
  parts.sleep = [this](absl::Duration time) { clock_.Advance(time); };
  jwt_driver_ = std::make_unique<JwtKeyDriver>(JwtKeyDriver::Parts{
      manager_.get(), evidence_.get(), {.rotate_every = absl::Hours(48), .evidence = parts.policy}});
  driver_ = std::make_unique<RotationDriver>(std::move(parts));
  // Proxies come back as they were: they send again what they hold.
  for (SimHolder& holder : holders_) {
    if (holder.foreign || !holder.connected) continue;
    Connect(holder);
    Acknowledge(holder);
  }
}

void MeshSim::Acknowledge(SimHolder& holder) {
  Acknowledgement acknowledgement;
  acknowledgement.trust_version = holder.acknowledged;
  if (holder.leaf.has_value()) {
    acknowledgement.generation = holder.leaf->generation;
    acknowledgement.serial = holder.leaf->serial;
    acknowledgement.authority_id = holder.leaf->authority_id;
  }
  holder.member.Acknowledged(acknowledgement);
}

std::set<std::string> MeshSim::PublishedRoots() const {
  std::set<std::string> roots;
  for (const Certificate& root : manager_->Current()->bundle->roots) roots.insert(root.spki_sha256_hex());
  return roots;
}

std::set<std::string> MeshSim::PublishedJwtKeys() const {
  std::set<std::string> keys;
  for (const JwtKey& key : manager_->Current()->bundle->jwt_keys) keys.insert(key.key_id);
  return keys;
}

std::vector<SubscriberRecord> SimEvidence::List() const {
  std::vector<SubscriberRecord> records = registry_.List();
  for (SubscriberRecord& record : records) record.takes_jwt_keys = record.takes_bundle;
  return records;
}

// A token of what signs now. Foreign clients may have one too.
void MeshSim::Mint(SimHolder& holder) {
  const auto snapshot = manager_->Current();
  if (snapshot->jwt_signer == nullptr) return;
  holder.token = {snapshot->jwt_signer->key_id, clock_.Now() + kJwtSvidLifetimeMax};
  jwt_signers_.insert(holder.token->key_id);
}

// Its memory is gone, and what it had not saved.
void MeshSim::EndServer() {
  memory_.FailWrites(absl::UnavailableError("the process died"));
  for (SimHolder& holder : holders_) holder.member.Leave(/*broken=*/true);
  jwt_driver_.reset();
  driver_.reset();
  evidence_.reset();
  registry_.reset();
  memory_.FailWrites(disk_full_ > 0 ? absl::UnavailableError("disk full") : absl::OkStatus());
}

void MeshSim::Connect(SimHolder& holder) {
  SubscriberRecord info;
  info.instance = holder.name;
  info.spiffe_id = "spiffe://sim.test/" + holder.name;
  holder.member = registry_->Join(info).value();
  holder.member.Sent();
  holder.member.Carries(/*bundle=*/true, /*key=*/true);
}

KeyReissuer::Progress MeshSim::Reissue(absl::FunctionRef<bool(absl::string_view)> stale, double) {
  Progress progress;
  for (SimHolder& holder : holders_) {
    if (holder.foreign || !holder.connected) continue;
    const std::optional<SimLeaf>& newest = holder.sent.has_value() ? holder.sent : holder.leaf;
    if (!newest.has_value() || !stale(newest->authority_id)) continue;
    holder.reissue = true;
    ++progress.left;
  }
  return progress;
}

// A certificate under what signs now, recorded first.
std::optional<SimLeaf> MeshSim::Issue(const SimHolder& holder) {
  const auto snapshot = manager_->Current();
  if (snapshot->issuing == nullptr) return std::nullopt;
  IssuanceRecord record;
  record.serial = SerialNumber::Make(clock_.Now(), entropy_);
  record.spiffe_id = SpiffeId::Parse("spiffe://sim.test/" + holder.name).value();
  record.key_sha256 = record.certificate_sha256 = std::string(32, 'x');
  record.authority_id = snapshot->issuing->id;
  record.not_before = record.issued_at = clock_.Now();
  record.not_after = clock_.Now() + kLeaf;
  record.caller = holder.name;
  if (!holder.foreign) record.instance = holder.name;
  if (holder.leaf.has_value()) record.parent_serial = holder.leaf->serial;
  absl::Status appended;
  memory_.Append(record, [&](absl::Status status) { appended = std::move(status); });
  if (!appended.ok()) return std::nullopt;
  SimLeaf leaf{record.serial.ToHex(), record.authority_id, snapshot->issuing->root_id, "",
               record.not_after,      ++generation_};
  if (!snapshot->issuing->upstream.empty()) leaf.cross_root = snapshot->rotation->old_root_id;
  return leaf;
}

// What the server does for a connected subscriber, and what that answers, or not.
void MeshSim::Serve(SimHolder& holder) {
  if (holder.sent.has_value() && (calm_ || Chance(0.7))) {
    holder.leaf = std::exchange(holder.sent, std::nullopt);
    Acknowledge(holder);
  }
  const bool due = !holder.leaf.has_value() || holder.leaf->not_after - clock_.Now() < kLeaf / 2 || holder.reissue;
  if (due && !holder.sent.has_value()) {
    if (auto leaf = Issue(holder); leaf.has_value()) {
      holder.certificate_expires = std::max(holder.certificate_expires, leaf->not_after);
      holder.member.SentCertificate(leaf->not_after);
      holder.sent = std::move(leaf);
      holder.reissue = false;
    }
  }
  if (holder.refuses && (calm_ || Chance(0.2))) holder.refuses = false;
  const auto snapshot = manager_->Current();
  if (!holder.refuses && holder.acknowledged < snapshot->bundle->sequence_number && (calm_ || Chance(0.6))) {
    holder.acknowledged = snapshot->bundle->sequence_number;
    holder.roots = PublishedRoots();
    holder.jwt_keys = PublishedJwtKeys();
    Acknowledge(holder);
  }
}

void MeshSim::Live(SimHolder& holder) {
  if (holder.connected && Chance(0.5)) Mint(holder);
  if (holder.foreign) {
    const bool ended = holder.leaf.has_value() && holder.leaf->not_after <= clock_.Now();
    if (!holder.leaf.has_value() || ended || Chance(0.1)) {
      if (auto leaf = Issue(holder); leaf.has_value()) {
        holder.leaf = std::move(leaf);
        holder.roots = PublishedRoots();
      }
    }
    return;
  }
  if (holder.connected) {
    if (!calm_ && Chance(0.03)) {
      holder.connected = holder.refuses = holder.reissue = false;
      // It may have got the key before the line went dead.
      if (holder.sent.has_value() && Chance(0.5)) holder.leaf = holder.sent;
      holder.sent = std::nullopt;
      holder.member.Leave(/*broken=*/true);
      Note(holder.name + " vanishes");
      return;
    }
    if (!calm_ && !holder.refuses && Chance(0.02)) {
      holder.refuses = true;
      holder.member.Rejected("no");
    }
    return Serve(holder);
  }
  if (!holder.evicted && (calm_ || Chance(0.1))) {
    holder.connected = true;
    Connect(holder);
    Acknowledge(holder);
    Note(holder.name + " is back");
  }
}

void MeshSim::Glitch() {
  const absl::Time then = clock_.Now();
  const absl::Duration by = (Chance(0.7) ? 1 : -1) * absl::Hours(1 + static_cast<int64_t>(random_() % 48));
  Note(absl::StrCat("the clock is wrong for a moment: ", absl::FormatDuration(by)));
  clock_.JumpTo(then + by);
  registry_->Tick();
  driver_->Tick(clock_.Now());
  jwt_driver_->Tick(clock_.Now());
  for (SimHolder& holder : holders_) {
    if (holder.foreign || !holder.connected || !Chance(0.1)) continue;
    holder.connected = holder.refuses = holder.reissue = false;
    holder.sent = std::nullopt;
    holder.member.Leave(/*broken=*/true);
  }
  clock_.JumpTo(then);
}

void MeshSim::Trouble() {
  if (disk_full_ > 0 && --disk_full_ == 0) memory_.FailWrites(absl::OkStatus());
  if (skipped_ != absl::ZeroDuration() && (calm_ || Chance(0.3))) {
    clock_.JumpTo(clock_.Now() - std::exchange(skipped_, absl::ZeroDuration()));
    Note("the clock is right again");
  }
  if (calm_) return;
  if (skipped_ == absl::ZeroDuration() && Chance(0.05)) Glitch();
  if (Chance(0.1)) store_.next = Chance(0.5) ? CrashingStore::Crash::kBefore : CrashingStore::Crash::kAfter;
  if (disk_full_ == 0 && Chance(0.02)) {
    disk_full_ = 1 + static_cast<int>(random_() % 5);
    memory_.FailWrites(absl::UnavailableError("disk full"));
    Note("the disk is full");
  }
  if (skipped_ == absl::ZeroDuration() && Chance(0.02)) {
    skipped_ = (Chance(0.5) ? 1 : -1) * absl::Hours(1 + static_cast<int64_t>(random_() % (24 * 365)));
    clock_.JumpTo(clock_.Now() + skipped_);
    Note(absl::StrCat("the clock jumps by ", absl::FormatDuration(skipped_)));
  }
  if (Chance(0.02)) {
    Note("the server is killed");
    StartServer();
  }
}

// Somebody who tries what he likes, and never forces it.
void MeshSim::Operate() {
  RotationOptions options;
  const bool runs = last_.has_value() && !last_->Ended();
  if (calm_ ? runs && !last_->automatic : Chance(runs ? 0.02 : 0.3)) {
    if (driver_->Begin(options, "operator").ok()) Note("begins a rotation");
  }
  if (calm_) return;
  if (Chance(0.05) && jwt_driver_->Rotate("operator").ok()) Note("publishes the next JWT key");
  options.automatic = false;
  if (Chance(0.02) && driver_->Begin(options, "operator").ok()) Note("prepares a rotation");
  if (Chance(0.05) && driver_->Activate(false, "operator").ok()) Note("activates by hand");
  if (Chance(0.05) && driver_->Retire(false, false, "operator").ok()) Note("retires by hand");
  if (Chance(0.01) && driver_->Abort("operator").ok()) Note("aborts");
  if (Chance(0.01) && driver_->Rollback("operator").ok()) Note("rolls back");
  for (SimHolder& holder : holders_) {
    // Only who is gone for good is evicted: the operator's word is the truth here.
    if (holder.foreign || holder.connected || holder.evicted || !Chance(0.02)) continue;
    // It may be forgotten already; then there is nothing to evict.
    const auto is_it = [&holder](const SubscriberRecord& record) { return record.instance == holder.name; };
    if (!registry_->Evict(is_it).ok()) continue;
    holder.evicted = true;
    holder.leaf = std::nullopt;
    holder.roots.clear();
    holder.jwt_keys.clear();
    Note(holder.name + " is evicted");
  }
}

void MeshSim::Tick() {
  registry_->Tick();
  manager_->Tick(clock_.Now());
  driver_->Tick(clock_.Now());
  jwt_driver_->Tick(clock_.Now());
  if (store_.crashed) {
    Note("the server dies at a commit");
    StartServer();
  }
}

void MeshSim::Step() {
  const bool was_frozen = !manager_->clock().BelievedNow().has_value() && skipped_ != absl::ZeroDuration();
  clock_.Advance(absl::Seconds(1 + static_cast<int64_t>(random_() % (calm_ ? 60 : 600))));
  Trouble();
  // The server's loops look every five seconds: what the clock does is seen before anything follows from it.
  Tick();
  Operate();
  if (store_.crashed) StartServer();
  std::erase_if(holders_, [this](const SimHolder& holder) {
    return !holder.connected && holder.certificate_expires + absl::Minutes(10) < clock_.Now() - skipped_ &&
           skipped_ == absl::ZeroDuration();
  });
  while (holders_.size() < kHolders) {
    SimHolder& holder = holders_.emplace_back();
    holder.name = absl::StrCat("h", ++named_);
    holder.foreign = Chance(0.3);
    if (!holder.foreign) Connect(holder);
  }
  // While the server's clock is wrong, what it dates is dated wrong: nobody renews then, to keep the truth in one
  // place.
  if (skipped_ == absl::ZeroDuration()) {
    for (SimHolder& holder : holders_) Live(holder);
  }
  Tick();
  Look(was_frozen && skipped_ != absl::ZeroDuration());
}

// Everybody who holds a bundle can verify everybody who shows a live certificate.
void MeshSim::LookAtPeers() {
  const absl::Time truth = clock_.Now() - skipped_;
  for (const SimHolder& verifier : holders_) {
    if (verifier.roots.empty()) continue;
    for (const SimHolder& peer : holders_) {
      if (!peer.leaf.has_value() || peer.leaf->not_after < truth) continue;
      // Who has no live certificate of its own is not part of the mesh any more.
      if (verifier.leaf.has_value() && verifier.leaf->not_after < truth) continue;
      if (verifier.roots.contains(peer.leaf->root) || verifier.roots.contains(peer.leaf->cross_root)) continue;
      Broken(absl::StrCat(verifier.name, " (bundle ", verifier.acknowledged, ") cannot verify ", peer.name,
                          ", whose certificate ", peer.leaf->serial, " is under root ", peer.leaf->root.substr(0, 8)));
    }
  }
}

// Everybody who takes JWT keys can verify every token that is alive, and what signs is in the bundle.
void MeshSim::LookAtTokens() {
  const absl::Time truth = clock_.Now() - skipped_;
  const auto snapshot = manager_->Current();
  if (snapshot->jwt_signer != nullptr && !PublishedJwtKeys().contains(snapshot->jwt_signer->key_id)) {
    Broken("a JWT key signs that nobody trusts");
  }
  if (snapshot->jwt_signer == nullptr && snapshot->why_no_jwt.empty()) Broken("no JWT key signs, and nobody says why");
  // Who left is remembered until its certificate has ended, as far as that was saved when the server last died. A
  // rotation of the root has the inventory besides; tokens are in none. So a key signs by the evidence of those who
  // were remembered then, and who was not gets it when it is back.
  std::set<std::string> remembered;
  for (const SubscriberRecord& record : registry_->List()) remembered.insert(record.instance);
  if (snapshot->jwt_signer != nullptr) judged_for_.emplace(snapshot->jwt_signer->key_id, remembered);
  for (const SimHolder& verifier : holders_) {
    if (verifier.foreign || verifier.jwt_keys.empty() || !remembered.contains(verifier.name)) continue;
    if (verifier.leaf.has_value() && verifier.leaf->not_after < truth) continue;
    for (const SimHolder& peer : holders_) {
      if (!peer.token.has_value() || peer.token->expires_at < truth) continue;
      if (verifier.jwt_keys.contains(peer.token->key_id)) continue;
      if (!judged_for_[peer.token->key_id].contains(verifier.name)) continue;
      Broken(absl::StrCat(verifier.name, " (bundle ", verifier.acknowledged, ") cannot verify the token of ", peer.name,
                          ", signed by key ", peer.token->key_id));
    }
  }
}

void MeshSim::LookAtRotation(bool was_frozen) {
  const auto snapshot = manager_->Current();
  const std::optional<RootRotation>& now = snapshot->rotation;
  if (snapshot->bundle->sequence_number < last_sequence_) Broken("the bundle's number went back");
  last_sequence_ = snapshot->bundle->sequence_number;
  if (now.has_value() && last_.has_value() && now->number == last_->number && now->started_at == last_->started_at) {
    const bool rolled_back = now->rolled_back != last_->rolled_back;
    if (now->step < last_->step && !rolled_back) {
      Broken(absl::StrCat("from ", RotationStepName(last_->step), " back to ", RotationStepName(now->step)));
    }
    if (was_frozen && now->step != last_->step) Broken("it moved while the clock could not be believed");
    if (now->Ended() && !last_->Ended()) ++rotations_;
  }
  if (now.has_value() && !now->Ended()) {
    const RotationReport report = driver_->Report();
    if (report.waiting_for.empty() && report.frozen.empty() && report.error.empty()) {
      Broken(absl::StrCat("it stands at ", RotationStepName(now->step), " and does not say why"));
    }
  }
  last_ = now;
  const AuthoritiesAndBundle stored = memory_.LoadAuthorities().value();
  for (const StoredAuthority& row : stored.authorities) {
    if (row.state == AuthorityState::kRetired && !(row.key_reference.empty() && row.sealed_key.empty())) {
      Broken(absl::StrCat("retired authority ", row.id, " keeps its key"));
    }
  }
  for (const StoredJwtAuthority& row : stored.jwt_authorities) {
    if ((row.state == AuthorityState::kRetired) != (row.key_reference.empty() && row.sealed_key.empty())) {
      Broken(absl::StrCat("JWT key ", row.key_id, " is retired and keeps its key, or has lost it before"));
    }
  }
}

void MeshSim::Look(bool was_frozen) {
  LookAtPeers();
  LookAtTokens();
  LookAtRotation(was_frozen);
}

std::string MeshSim::Run(int steps) {
  for (int step = 0; step < steps && broken_.empty(); ++step) Step();
  calm_ = true;
  // Whoever vanished for good is forgotten after a leaf's life and the skew: three hours of calm are plenty.
  for (int step = 0; step < 500 && broken_.empty(); ++step) {
    Step();
    const bool next_key_waits = !jwt_driver_->Report().waiting_for.empty();
    if (step > 5 && (!last_.has_value() || last_->Ended()) && !next_key_waits) return "";
  }
  if (broken_.empty()) {
    Broken(absl::StrCat("it does not end: ", driver_->Report().waiting_for, driver_->Report().error,
                        jwt_driver_->Report().waiting_for, jwt_driver_->Report().error));
  }
  return broken_;
}

}  // namespace meshca
