#include "ca/publishing/publisher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/utc_text.h"
#include "ca/kubernetes/api_refusal.h"

namespace meshca {
namespace {

constexpr char kContested[] =
    "somebody else changes or deletes it within a minute of our writing it, or trying to; find who does (its "
    "metadata.managedFields say), and end that";
constexpr char kTerminating[] = "Terminating";
// A watch of which nothing came for longer is not followed (ListWatchOptions::silence, and some time to notice).
constexpr absl::Duration kFollowed = absl::Seconds(100);
// Thousands of objects fail together when the API server goes away: so often one of them is named in the log.
constexpr absl::Duration kWarningGap = absl::Seconds(10);

// The object's own fields, in the order of ToFollow; the labels from kObjectLabels on.
enum ObjectField { kObjectNamespace, kObjectContent, kObjectUid, kObjectLabels };
enum NamespaceField { kNamespaceName, kNamespacePhase };

kubernetes::ListWatchOptions ToFollow(const PublishedKind& kind) {
  kubernetes::ListWatchOptions options;
  options.resource = kind.resource;
  // RBAC can name the one object only where the selector does too.
  options.field_selector = absl::StrCat("metadata.name=", kind.name);
  options.paths = {"metadata.namespace", kind.content_path, "metadata.uid"};
  for (std::string& path : kind.LabelPaths()) options.paths.push_back(std::move(path));
  return options;
}

std::vector<kubernetes::ListWatchOptions> ToFollowEach(const std::vector<PublishedKind>& kinds) {
  std::vector<kubernetes::ListWatchOptions> all;
  all.reserve(kinds.size());
  for (const PublishedKind& kind : kinds) all.push_back(ToFollow(kind));
  return all;
}

kubernetes::ListWatchOptions ToFollowNamespaces() {
  kubernetes::ListWatchOptions options;
  options.resource = kubernetes::Namespaces();
  options.paths = {"metadata.name", "status.phase"};
  return options;
}

bool HasLabelsOf(const PublishedKind& kind, const kubernetes::PickedFields& object) {
  for (size_t i = 0; i < kind.labels.size(); ++i) {
    if (object.Text(kObjectLabels + i) != absl::string_view(kind.labels[i].second)) return false;
  }
  return true;
}

// Of a write that was refused, for people. `there`: an object stands there. Fields that are immutable, a key that
// stands in binaryData too, no room: what somebody else has made of it is not mended by writing over it.
std::string FaultOfPublishing(const absl::Status& status, bool there) {
  std::string fault(status.message());
  if (there && absl::IsInvalidArgument(status)) {
    absl::StrAppend(&fault, "; where that lies in the object that is there, delete it, and it is made anew");
  }
  return fault;
}

}  // namespace

// What stands in the objects.
class Publisher::Objects final : public kubernetes::ObjectSink {
 public:
  explicit Objects(Publisher& publisher) : publisher_(publisher) {}

  void OnListBegin() override {
    MutexLock lock(publisher_.mutex_);
    publisher_.uids_.clear();
    publisher_.ledger_.BeginSeen();
  }
  void OnListEnd() override {
    MutexLock lock(publisher_.mutex_);
    publisher_.ledger_.EndSeen(publisher_.clock_.SinceBoot());
    publisher_.executor_.Nudge();
  }
  void OnObject(const kubernetes::PickedFields& object) override {
    MutexLock lock(publisher_.mutex_);
    const std::string place(object.Text(kObjectNamespace));
    publisher_.uids_[place] = std::string(object.Text(kObjectUid));
    const bool contested = publisher_.ledger_.Seen(place, object.Text(kObjectContent), publisher_.clock_.SinceBoot(),
                                                   HasLabelsOf(publisher_.kind(), object));
    if (contested) publisher_.TellEvent(place, "RootsContested", kContested);
    publisher_.executor_.Nudge();
  }
  void OnGone(const kubernetes::PickedFields& object) override {
    MutexLock lock(publisher_.mutex_);
    const std::string place(object.Text(kObjectNamespace));
    const bool contested = publisher_.ledger_.SeenGone(place, publisher_.clock_.SinceBoot());
    if (contested) publisher_.TellEvent(place, "RootsContested", kContested);
    publisher_.uids_.erase(place);
    publisher_.executor_.Nudge();
  }

 private:
  Publisher& publisher_;
};

// Where they are to stand.
class Publisher::Namespaces final : public kubernetes::ObjectSink {
 public:
  explicit Namespaces(Publisher& publisher) : publisher_(publisher) {}

  void OnListBegin() override {
    MutexLock lock(publisher_.mutex_);
    publisher_.ledger_.BeginPlaces();
  }
  void OnListEnd() override {
    MutexLock lock(publisher_.mutex_);
    publisher_.ledger_.EndPlaces();
    publisher_.executor_.Nudge();
  }
  void OnObject(const kubernetes::PickedFields& object) override {
    const std::string name(object.Text(kNamespaceName));
    // Nothing can be created in a namespace that ends, and what stands there goes with it.
    const bool ends = object.Text(kNamespacePhase) == kTerminating;
    MutexLock lock(publisher_.mutex_);
    if (ends || !publisher_.options_.namespaces->Has(name)) return publisher_.ledger_.RemovePlace(name);
    publisher_.ledger_.AddPlace(name, publisher_.clock_.SinceBoot());
    publisher_.executor_.Nudge();
  }
  void OnGone(const kubernetes::PickedFields& object) override {
    MutexLock lock(publisher_.mutex_);
    publisher_.ledger_.RemovePlace(std::string(object.Text(kNamespaceName)));
  }

 private:
  Publisher& publisher_;
};

Publisher::Publisher(PublisherOptions options, kubernetes::ApiServer& server, const JudgedClock& clock,
                     EntropySource& entropy, kubernetes::Leadership* leadership, kubernetes::EventSink* events)
    : options_(std::move(options)),
      server_(server),
      clock_(clock),
      entropy_(entropy),
      leadership_(leadership),
      events_(events),
      since_(clock.LikelyNow()),
      objects_(std::make_unique<Objects>(*this)),
      namespaces_(std::make_unique<Namespaces>(*this)),
      writes_(server, options_.write_timeout),
      objects_watch_(ToFollowEach(options_.kinds), options_.look_again, server, *objects_, clock, entropy),
      ledger_(options_.publication),
      executor_(clock) {}

Publisher::~Publisher() { Shutdown(); }

void Publisher::Start() {
  if (!options_.namespaces.has_value()) {
    MutexLock lock(mutex_);
    ledger_.BeginPlaces();
    ledger_.AddPlace("", clock_.SinceBoot());
    ledger_.EndPlaces();
  }
  executor_.AddDuty([this] { return Work(); });
  if (leadership_ != nullptr) leadership_->AddListener([this] { executor_.Nudge(); });
  on_return_.emplace(server_.reachability(), [this] {
    MutexLock lock(mutex_);
    ledger_.ServerReturned(clock_.SinceBoot());
    executor_.Nudge();
  });
  objects_watch_.Start();
  if (options_.namespaces.has_value()) {
    namespaces_watch_ =
        std::make_unique<kubernetes::ListWatch>(ToFollowNamespaces(), server_, *namespaces_, clock_, entropy_);
  }
  executor_.Start();
}

void Publisher::SetRoots(TrustVersion version, std::string pem) {
  MutexLock lock(mutex_);
  ledger_.SetContent(version, std::move(pem), clock_.SinceBoot());
  executor_.Nudge();
}

// The executor's duty.
absl::Duration Publisher::Work() {
  objects_watch_.Look();
  return Write();
}

// Begins the writes that are due.
absl::Duration Publisher::Write() {
  // Thousands of attempts would tell no more than the probes and the watches do.
  if (!MayWrite() || objects_watch_.unserved() || server_.reachability().away()) return SerialExecutor::kLook;
  std::vector<std::string> due;
  std::string content;
  absl::Duration next;
  {
    MutexLock lock(mutex_);
    if (stopping_) return SerialExecutor::kLook;
    const absl::Duration now = clock_.SinceBoot();
    due = ledger_.TakeDue(now, options_.writes_at_once - writing_);
    writing_ += due.size();
    content = ledger_.content();
    // A write that ends nudges, so a full house needs no time.
    next = writing_ >= options_.writes_at_once ? absl::InfiniteDuration() : ledger_.NextDue() - now;
  }
  const PublishedKind& kind = options_.kinds[objects_watch_.version()];
  for (const std::string& place : due) {
    writes_.Send(kind.CallToPublish(place, content), kubernetes::kObjectBytesMax,
                 [this, place](const absl::StatusOr<std::string>& answer) { OnWritten(place, answer.status()); });
  }
  return next;
}

void Publisher::OnWritten(const std::string& place, const absl::Status& status) {
  MutexLock lock(mutex_);
  const absl::Duration now = clock_.SinceBoot();
  if (status.ok()) {
    ++written_;
    ledger_.Written(place, now);
  } else {
    ++failed_;
    const double spread =
        absl::FDivDuration(UniformDuration(entropy_, absl::ZeroDuration(), absl::Seconds(1)), absl::Seconds(1));
    const std::string fault = FaultOfPublishing(status, uids_.contains(place));
    const bool is_news = ledger_.Failed(place, fault, status, spread, now) && !stopping_;
    if (is_news) Warn(place, fault, now);
    if (is_news && ledger_.IsBehind(place)) {
      TellEvent(place, "RootsNotPublished", absl::StrCat("the roots could not be published here: ", fault));
    }
  }
  --writing_;
  executor_.Nudge();
}

void Publisher::Warn(const std::string& place, const std::string& fault, absl::Duration now) {
  if (now - warned_at_ < kWarningGap) {
    ++unsaid_;
    return;
  }
  warned_at_ = now;
  LogWarning(
      ledger_.IsBehind(place) ? "the roots could not be published"
                              : "an object shows the roots, but its labels could not be put back",
      {{"object", InstanceOf(place)}, {"error", fault}, {"others_unsaid", absl::StrCat(std::exchange(unsaid_, 0))}});
}

void Publisher::TellEvent(const std::string& place, const char* reason, std::string note) {
  if (events_ == nullptr) return;
  const PublishedKind& kind = options_.kinds[objects_watch_.version()];
  const kubernetes::Resource& resource = kind.resource;
  const auto uid = uids_.find(place);
  kubernetes::ObjectEvent event;
  event.regarding = {absl::StrCat(resource.group, resource.group.empty() ? "" : "/", resource.version), kind.described,
                     place, kind.name, uid == uids_.end() ? "" : uid->second};
  event.is_warning = true;
  event.reason = reason;
  event.action = "Publish";
  event.note = std::move(note);
  events_->Tell(std::move(event));
}

std::string Publisher::InstanceOf(const std::string& place) const {
  return absl::StrCat(kind().described, " ", place, place.empty() ? "" : "/", kind().name);
}

SubscriberRecord Publisher::RecordOf(const Publication& one, absl::Duration now) const {
  SubscriberRecord record;
  record.instance = InstanceOf(one.place);
  record.kind = std::string(kPublishedKind);
  record.peer = server_.options().described;
  // It does not leave by itself: it counts for as long as it is to be there.
  record.connected = true;
  record.first_seen = since_;
  record.last_seen = clock_.LikelyNow();
  record.trust_version = one.held;
  record.takes_bundle = true;
  record.rejected = one.fault;
  if (one.written == 0) {
    const std::string why_not = leadership_ == nullptr ? "" : leadership_->WhyNot();
    record.version_info = why_not.empty()
                              ? "does not show the roots yet; it is written as soon as the API server takes it"
                              : absl::StrCat("does not show the roots, and this server writes nothing: ", why_not);
  } else if (one.held < one.written) {
    record.version_info = absl::StrCat("shows version ", one.written, ", which counts as held at ",
                                       TimeOfDayText(record.last_seen + (one.held_at - now)),
                                       ", when whoever mounts it has had the time to read it");
  } else {
    record.version_info = absl::StrCat("shows version ", one.written);
  }
  return record;
}

SubscriberRecord Publisher::RecordOfAll(std::string why) const {
  SubscriberRecord record = RecordOf({}, absl::ZeroDuration());
  record.instance = absl::StrCat("every ", kind().described, " ", kind().name);
  record.version_info = "not known: they are still being listed";
  record.rejected = std::move(why);
  return record;
}

std::vector<SubscriberRecord> Publisher::List() const {
  const absl::Status watching = Watching();
  const absl::Duration age = objects_watch_.Age();
  // A watch that is well is silent for a minute. Of what a dead one has not told, nothing counts that ran out since
  // then.
  const absl::Duration unheard = age <= kFollowed ? absl::ZeroDuration() : age;
  if (objects_watch_.unserved()) return {};
  MutexLock lock(mutex_);
  if (!ledger_.complete()) return {RecordOfAll(std::string(watching.message()))};
  const absl::Duration now = clock_.SinceBoot();
  std::vector<SubscriberRecord> records;
  for (const Publication& one : ledger_.List(now - unheard)) records.push_back(RecordOf(one, now));
  return records;
}

absl::Status Publisher::Watching() const {
  const absl::Status objects = objects_watch_.LastError();
  return objects.ok() && namespaces_watch_ != nullptr ? namespaces_watch_->LastError() : objects;
}

PublisherStatus Publisher::Status() const {
  PublisherStatus status;
  status.object = InstanceOf("");
  status.watching = Watching();
  status.unserved = objects_watch_.unserved();
  if (!status.unserved) status.age = objects_watch_.Age();
  if (namespaces_watch_ != nullptr) status.age = std::max(status.age, namespaces_watch_->Age());
  MutexLock lock(mutex_);
  status.places = ledger_.places();
  status.behind = ledger_.behind();
  if (const auto fault = ledger_.FirstFault(); fault.has_value()) {
    status.fault = absl::StrCat(InstanceOf(fault->first), ": ", fault->second);
  }
  status.written = written_;
  status.failed = failed_;
  return status;
}

void Publisher::Shutdown() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  writes_.Cancel();
  on_return_.reset();
  // Before the watches: it begins new ones.
  executor_.Shutdown();
  objects_watch_.Stop();
  if (namespaces_watch_ != nullptr) namespaces_watch_->Stop();
  writes_.AwaitEnd();
}

}  // namespace meshca
