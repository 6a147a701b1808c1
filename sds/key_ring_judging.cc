// Who may hold a key: each holder is judged by itself, before each renewal and when registration entries changed.
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "sds/key_ring_impl.h"
#include "sds/key_sharing.h"
#include "sds/svid_source.h"

namespace meshca::sds {
namespace {

// Questions of one attempt that are under way at the same time: the authenticator's places are for others too.
constexpr size_t kAskedAtOnce = 16;

// Whoever gives the same text is judged alike: one question for all streams and connections of a process.
std::string WhoIsAsked(const rpc::Peer& peer) {
  if (!peer.unix_credentials.has_value()) return absl::StrCat("connection ", peer.connection_id);
  const rpc::UnixCredentials& process = *peer.unix_credentials;
  if (process.pid <= 0 || process.pid_start_ticks == 0) return absl::StrCat("connection ", peer.connection_id);
  return absl::StrCat(process.pid, " ", process.pid_start_ticks, " ", process.uid, " ", process.gid, " ",
                      peer.privileged);
}

}  // namespace

KeyHolderPtr KeyRing::Impl::ChooseJudged(const HeldKey& key) {
  // Not always the first: what fails for one, by a limit of its own, may be had for another.
  size_t skip = key.failures % std::max<size_t>(key.holdings.size(), 1);
  KeyHolderPtr chosen;
  for (const auto& [ticket, holding] : key.holdings) {
    // A client certificate is judged anew: its stream may have stood while trust was taken away.
    if (holding.held_back || holding.holder->owner.caller->identity.presented.has_value()) continue;
    chosen = holding.holder;
    if (skip-- == 0) break;
  }
  return chosen;
}

std::vector<KeyRing::Impl::Question> KeyRing::Impl::GatherQuestions(const Attempt& attempt) {
  std::vector<Question> questions;
  absl::flat_hash_map<std::string, size_t> places;
  const auto add = [&](uint64_t ticket, const HeldKey::Holding& holding) {
    const auto [place, is_new] = places.emplace(WhoIsAsked(*holding.holder->owner.caller->peer), questions.size());
    if (is_new) questions.emplace_back().first = holding.holder;
    questions[place->second].tickets.push_back(ticket);
  };
  if (attempt.only.empty()) {
    for (const auto& [ticket, holding] : attempt.key->holdings) add(ticket, holding);
  }
  // Of a key that nobody holds the last holder is asked about: it is not kept for nobody.
  if (attempt.check_only && attempt.only.empty() && questions.empty() && attempt.key->last != nullptr) {
    questions.emplace_back().first = attempt.key->last;
  }
  for (const uint64_t ticket : attempt.only) {
    if (const auto found = attempt.key->holdings.find(ticket); found != attempt.key->holdings.end()) {
      add(ticket, found->second);
    }
  }
  return questions;
}

void KeyRing::Impl::EndUnheld(const Attempt& attempt) {
  CountEnd();
  if (attempt.check_only) return;
  attempt.key->state = HeldKey::kIdle;
  if (attempt.key->current == nullptr) Drop(attempt.key);  // else it lingers
}

void KeyRing::Impl::Begin(Attempt attempt) {
  auto round = std::make_shared<Round>();
  {
    MutexLock lock(mutex_);
    const HeldKey& key = *attempt.key;
    if (key.dropped) return CountEnd();
    // A first certificate comes right after its caller was authenticated; each later one asks again.
    if (!attempt.check_only && !attempt.recheck && attempt.parent_serial.empty()) attempt.holder = ChooseJudged(key);
    if (attempt.holder == nullptr) {
      round->questions = GatherQuestions(attempt);
      if (round->questions.empty()) return EndUnheld(attempt);
    }
  }
  if (attempt.holder != nullptr) {
    CallerIdentity caller = attempt.holder->owner.caller->identity;
    return Submit(std::move(attempt), std::move(caller));
  }
  round->attempt = std::move(attempt);
  Ask(round);
}

void KeyRing::Impl::Ask(const std::shared_ptr<Round>& round) {
  while (round->begun < round->questions.size() && round->begun - round->answered < kAskedAtOnce) {
    Question& question = round->questions[round->begun++];
    authenticate_(*question.first->owner.caller->peer,
                  [this, round, &question](absl::StatusOr<CallerIdentity> caller) mutable {
                    executor_.Run([this, round, &question, caller = std::move(caller)]() mutable {
                      question.answer = std::move(caller);
                      ++round->answered;
                      round->answered == round->questions.size() ? Decide(*round) : Ask(round);
                    });
                  });
  }
}

void KeyRing::Impl::Judge(Question& question, const HeldKey& key) const {
  const Owner& owner = question.first->owner;
  if (!question.answer.ok()) {
    question.why = question.answer.status();
    question.verdict = IsFinalRefusal(question.why) ? Question::kRefused : Question::kUnknown;
    return;
  }
  const SdsCaller judged{*question.answer, owner.caller->peer, owner.caller->lineage, owner.caller->line};
  if (!judged.MayReceiveKeyOf(key.id)) {
    question.verdict = Question::kRefused;
    question.why = WithReason(absl::PermissionDeniedError(absl::StrCat("the caller (", judged.identity.subject,
                                                                       ") may not hold ", key.id.uri(), " any more")),
                              "SPIFFE_ID_NOT_ALLOWED");
    return;
  }
  question.name = SharedKeyName(judged, owner.instance, key.id);
  question.verdict = question.name == key.name ? Question::kStays : Question::kElsewhere;
}

void KeyRing::Impl::FollowRights(Round& round) {
  const HeldKeyPtr& key = round.attempt.key;
  const Question* first = nullptr;
  for (const Question& question : round.questions) {
    if (question.verdict == Question::kStays) return;
    if (question.verdict == Question::kElsewhere && first == nullptr) first = &question;
  }
  if (first == nullptr || keys_.contains(first->name)) return;
  const std::string name = first->name;
  keys_.erase(key->name);
  key->name = name;
  keys_[name] = key;
  absl::flat_hash_set<uint64_t> staying;
  for (Question& question : round.questions) {
    if (question.verdict != Question::kElsewhere || question.name != name) continue;
    question.verdict = Question::kStays;
    staying.insert(question.tickets.begin(), question.tickets.end());
  }
  // It is not known of the others yet whether they have these rights too.
  for (auto& [ticket, holding] : key->holdings) {
    if (staying.contains(ticket)) continue;
    holding.held_back = true;
    undecided_.insert(key);
  }
}

void KeyRing::Impl::Move(const HeldKeyPtr& key, uint64_t ticket, const std::string& name, News& news) {
  const auto found = key->holdings.find(ticket);
  HeldKey::Holding holding = std::move(found->second);
  key->holdings.erase(found);
  const HeldKeyPtr target = FindOrMake(name, key->id, key->shared);
  holding.held_back = false;
  if (HasValid(*target)) {
    news.emplace_back(holding.holder, target->current);
    holding.served = target->current->identity().generation;
  } else {
    target->recheck = true;  // what was known of the holder when it came is not so any more
  }
  Add(target, ticket, std::move(holding));
}

bool KeyRing::Impl::Apply(const Attempt& attempt, const Question& question, News& news) {
  const HeldKeyPtr& key = attempt.key;
  bool lost = false;
  for (const uint64_t ticket : question.tickets) {
    const auto found = key->holdings.find(ticket);
    if (found == key->holdings.end()) continue;  // it has left
    HeldKey::Holding& holding = found->second;
    switch (question.verdict) {
      case Question::kStays:
        // Who could not be judged for a while may have missed a new one.
        holding.held_back = false;
        if (HasValid(*key) && holding.served != key->current->identity().generation) {
          news.emplace_back(holding.holder, key->current);
          holding.served = key->current->identity().generation;
        }
        break;
      case Question::kElsewhere:
        // Until its renewal it may keep what it was given when its rights were others.
        if (attempt.check_only && !holding.held_back) break;
        Move(key, ticket, question.name, news);
        lost = true;
        break;
      case Question::kRefused:
        news.emplace_back(holding.holder, question.why);
        held_by_.erase(ticket);
        key->holdings.erase(found);
        lost = true;
        break;
      case Question::kUnknown:
        // A holder that has a key goes without its renewal until it can be judged.
        if (attempt.check_only && !holding.held_back) break;
        holding.held_back = true;
        undecided_.insert(key);
        if (holding.served == 0 || !HasValid(*key)) news.emplace_back(holding.holder, question.why);
        break;
    }
  }
  return lost;
}

void KeyRing::Impl::Decide(Round& round) {
  Attempt& attempt = round.attempt;
  const HeldKeyPtr key = attempt.key;
  News news;
  std::vector<Question*> stay;
  absl::Status unknown;
  bool fail = false;
  {
    MutexLock lock(mutex_);
    if (key->dropped) return CountEnd();
    for (Question& question : round.questions) Judge(question, *key);
    if (!attempt.check_only) FollowRights(round);
    bool lost = false;
    for (Question& question : round.questions) {
      lost |= Apply(attempt, question, news);
      if (question.verdict == Question::kStays) stay.push_back(&question);
      if (question.verdict == Question::kUnknown) unknown = question.why;
      // It is about one who held the key last, and has no right to it any more.
      lost |=
          question.tickets.empty() && question.verdict != Question::kStays && question.verdict != Question::kUnknown;
    }
    if (key->holdings.empty() && lost) {
      CountEnd();
      Drop(key);
      stay.clear();
    } else if (key->holdings.empty() || attempt.check_only) {
      EndUnheld(attempt);
      stay.clear();
    } else if (stay.empty() && unknown.ok()) {  // all it was about have left, and others have come
      CountEnd();
      key->state = HeldKey::kIdle;
      schedule_.Wait(key, /*urgent=*/true);
      executor_.Nudge();
    } else {
      fail = stay.empty();
    }
  }
  for (const Question& question : round.questions) {
    if (question.verdict != Question::kRefused) continue;
    LogWarning("SDS: identity withdrawn", {{"spiffe_id", key->id.uri()},
                                           {"instance", question.first->owner.instance},
                                           {"code", std::string(CodeName(question.why.code()))},
                                           {"error", std::string(question.why.message())}});
  }
  Tell(news);
  if (fail) return Failed(attempt, unknown);
  if (stay.empty()) return;
  Question& chosen = *stay[key->failures % stay.size()];
  attempt.holder = chosen.first;
  Submit(std::move(attempt), *std::move(chosen.answer));
}

void KeyRing::Impl::JudgeAgain() {
  bool revocations = false;
  std::vector<Attempt> checks;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    revocations = judge_again_;
    for (const HeldKeyPtr& key : undecided_) {
      // A key without a certificate judges its holders at the next attempt.
      Attempt check{key, "", /*check_only=*/true};
      for (const auto& [ticket, holding] : key->holdings) {
        if (holding.held_back) check.only.push_back(ticket);
      }
      if (check.only.empty()) continue;
      checks.push_back(std::move(check));
      ++in_flight_;
    }
    undecided_.clear();
  }
  if (revocations) DropRevoked();
  for (Attempt& check : checks) Begin(std::move(check));
}

}  // namespace meshca::sds
