#include "ca/kubernetes/list_watch.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"
#include "ca/kubernetes/api_refusal.h"

namespace meshca::kubernetes {
namespace {
// A pause doubles no further than this many times: it has long been the longest.
constexpr int kDoublingsMax = 20;
// A watch that ends sooner, without an event, is no watch.
constexpr absl::Duration kShortWatch = absl::Seconds(1);
// After so many silent watches in a row everything is listed again: an API server whose data was restored from a backup
// says nothing, not even bookmarks, on a watch from a version that lies in its future.
constexpr int kSilentWatchesMax = 2;
// So many objects, of whatever size, an API server answers in time.
constexpr int kPageMin = 10;
}  // namespace

std::string SelectorsOf(const ListWatchOptions& options) {
  std::string query;
  if (!options.field_selector.empty()) {
    absl::StrAppend(&query, "&fieldSelector=", PercentEncode(options.field_selector));
  }
  if (!options.label_selector.empty()) {
    absl::StrAppend(&query, "&labelSelector=", PercentEncode(options.label_selector));
  }
  return query;
}

ListWatch::ListWatch(ListWatchOptions options, ApiServer& server, ObjectSink& sink, const Clock& clock,
                     EntropySource& entropy)
    : options_(std::move(options)),
      server_(server),
      sink_(sink),
      clock_(clock),
      entropy_(entropy),
      page_(options_.page),
      on_return_(std::in_place, server.reachability(),
                 [this] {
                   MutexLock lock(mutex_);
                   changed_.NotifyAll();
                 }),
      thread_([this] { Run(); }) {}

ListWatch::~ListWatch() { Stop(); }

void ListWatch::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    if (under_way_.has_value()) server_.Cancel(*under_way_);
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
  on_return_.reset();
}

absl::Duration ListWatch::Age() const {
  MutexLock lock(mutex_);
  return heard_.has_value() ? clock_.SinceBoot() - *heard_ : absl::InfiniteDuration();
}

absl::Status ListWatch::LastError() const {
  MutexLock lock(mutex_);
  return error_;
}

uint64_t ListWatch::lists() const {
  MutexLock lock(mutex_);
  return lists_;
}

bool ListWatch::Stopping() const {
  MutexLock lock(mutex_);
  return stopping_;
}

void ListWatch::Heard() {
  silent_watches_ = 0;
  {
    MutexLock lock(mutex_);
    heard_ = clock_.SinceBoot();
  }
  GoesOn();
}

void ListWatch::GoesOn() {
  bool is_back = false;
  {
    MutexLock lock(mutex_);
    is_back = !error_.ok();
    error_ = absl::OkStatus();
  }
  if (is_back) LogInfo("kubernetes: the watch goes on", {{"resource", options_.resource.Text()}});
}

void ListWatch::Run() {
  while (!Stopping()) {
    if (clock_.SinceBoot() >= list_again_) resource_version_.clear();
    const uint64_t returns = server_.reachability().returns();
    const absl::Status status = resource_version_.empty() ? ListPage() : Watch();
    if (status.ok()) continue;
    Recover(status);
    PauseAfter(status, returns);
  }
}

void ListWatch::Recover(const absl::Status& status) {
  // A version of the future is one of before the cluster's data was restored from a backup.
  const std::optional<ApiRefusal> refusal = RefusalOf(status);
  const bool is_of_the_future = refusal.has_value() && refusal->cause == "ResourceVersionTooLarge";
  // What could not be read may be something else when it is listed again.
  if (absl::IsOutOfRange(status) || absl::IsInvalidArgument(status) || absl::IsNotFound(status) || is_of_the_future) {
    resource_version_.clear();
    next_page_.clear();
  }
}

std::string ListWatch::Doing(absl::string_view verb) const {
  return absl::StrCat("API server ", server_.options().url.Origin(), ": ", verb, " ", options_.resource.Text());
}

absl::Status ListWatch::ListPage() {
  const bool is_first = next_page_.empty();
  if (is_first) sink_.OnListBegin();
  std::string query = absl::StrCat("limit=", page_, SelectorsOf(options_));
  if (!is_first) absl::StrAppend(&query, "&continue=", PercentEncode(next_page_));
  ListReader reader(options_.paths, [this](const PickedFields& object) { sink_.OnObject(object); });
  http::CallOptions call;
  call.timeout = options_.list_timeout;
  bool has_begun = false;
  absl::Status ended = StreamAndWait(
      "list", query, call, [&has_begun] { has_begun = true; },
      [&reader](absl::string_view piece) { return reader.Take(piece); });
  if (ended.ok()) ended = Annotate(reader.End(), Doing("list"));
  LearnPageSize(page_, has_begun, ended);
  MESHCA_RETURN_IF_ERROR(ended);
  // All pages are of one moment, so another page is progress. The first one alone is not, nor are all together where no
  // watch goes on from them (vain_lists_): everything would be listed again and again without a pause.
  if (!is_first) failures_ = 0;
  next_page_ = reader.next_page();
  if (!next_page_.empty() || Stopping()) return absl::OkStatus();
  resource_version_ = reader.resource_version();
  too_many_ = kNeverTooMany;
  // Not all watches of all clients at once.
  list_again_ = clock_.SinceBoot() + UniformDuration(entropy_, options_.list_again, 2 * options_.list_again);
  ++vain_lists_;
  sink_.OnListEnd();
  Heard();
  MutexLock lock(mutex_);
  ++lists_;
  return absl::OkStatus();
}

void ListWatch::LearnPageSize(int asked, bool has_begun, const absl::Status& end) {
  if (end.ok()) {
    // Where so many came, their number was not what made others fail: the API server was away, or ill.
    if (asked >= too_many_) too_many_ = kNeverTooMany;
    page_ = std::min({options_.page, 2 * asked, std::max(asked, too_many_ / 2)});
    return;
  }
  const std::optional<ApiRefusal> refusal = RefusalOf(end);
  const bool took_long = absl::IsDeadlineExceeded(end) || (refusal.has_value() && refusal->http_status == 504);
  // Of one that is away every page takes long.
  if (has_begun || (took_long && !server_.reachability().away())) too_many_ = asked;
  page_ = std::max(asked / 2, std::min(options_.page, kPageMin));
}

absl::Status ListWatch::Watch() {
  // Up to twice as long, so that not all watches of all clients end at once.
  const absl::Duration time = UniformDuration(entropy_, options_.watch_time, 2 * options_.watch_time);
  const std::string query = absl::StrCat(
      "watch=true&allowWatchBookmarks=true&timeoutSeconds=", std::max<int64_t>(1, absl::ToInt64Seconds(time)),
      "&resourceVersion=", PercentEncode(resource_version_), SelectorsOf(options_));
  http::CallOptions call;
  call.timeout = server_.options().connect_timeout + time + options_.silence;
  call.silence_timeout = options_.silence;
  bool has_begun = false;
  bool had_event = false;
  absl::Status refused;
  WatchReader reader(options_.paths, [&](WatchEvent event) {
    if (!refused.ok()) return;
    refused = OnEvent(std::move(event));
    had_event = refused.ok();
  });
  const absl::Duration began = clock_.SinceBoot();
  const auto begin = [this, &has_begun] {
    has_begun = true;
    GoesOn();
  };
  absl::Status ended = StreamAndWait("watch", query, call, begin, [&](absl::string_view piece) {
    const absl::Status taken = reader.Take(piece);
    return refused.ok() ? taken : refused;
  });
  const bool is_short = clock_.SinceBoot() - began < kShortWatch;
  if (has_begun && !is_short) failures_ = vain_lists_ = 0;
  // However it ended: one that brought nothing may be of a version that is not the cluster's any more.
  if (has_begun && !is_short && !had_event && ++silent_watches_ >= kSilentWatchesMax) resource_version_.clear();
  // A quiet resource is as silent, where the API server sends no bookmarks of it: so this is no error.
  if (absl::IsDeadlineExceeded(ended) && has_begun && !is_short) return absl::OkStatus();
  if (ended.ok() && is_short && !had_event) {
    return Annotate(absl::UnavailableError("it ended at once, without an event"), Doing("watch"));
  }
  return ended;
}

absl::Status ListWatch::OnEvent(WatchEvent event) {
  if (event.kind == WatchEvent::Kind::kError) {
    const std::string text = absl::StrCat("the watch was ended by ", event.code, ": ", Printable(event.message));
    // 504: the version that was asked for is one of the future.
    return event.code == 410 || event.code == 504 ? absl::OutOfRangeError(text) : absl::UnavailableError(text);
  }
  if (event.kind == WatchEvent::Kind::kDeleted) {
    sink_.OnGone(event.object);
  } else if (event.kind != WatchEvent::Kind::kBookmark) {
    sink_.OnObject(event.object);
  }
  if (!event.resource_version.empty()) resource_version_ = std::move(event.resource_version);
  failures_ = vain_lists_ = 0;
  Heard();
  return absl::OkStatus();
}

absl::Status ListWatch::StreamAndWait(const std::string& verb, const std::string& query,
                                      const http::CallOptions& options, std::function<void()> begun,
                                      std::function<absl::Status(absl::string_view)> take) {
  ApiCall call;
  call.verb = verb;
  call.resource = options_.resource;
  call.namespace_name = options_.namespace_name;
  call.query = query;
  call.granted_for = options_.granted_for;
  std::optional<absl::Status> ended;
  ApiServer::Streamed streamed;
  streamed.on_begin = std::move(begun);
  streamed.on_piece = std::move(take);
  streamed.on_end = [this, &ended](absl::Status status) {
    MutexLock lock(mutex_);
    ended = std::move(status);
    changed_.NotifyAll();
  };
  // The call's last word is always waited for: it refers to what stands on this thread's stack.
  const http::Client::CallId id = server_.Stream(call, options, std::move(streamed));
  MutexLock lock(mutex_);
  under_way_ = id;
  if (stopping_) server_.Cancel(id);
  while (!ended.has_value()) changed_.Wait(mutex_);
  under_way_.reset();
  return *ended;
}

void ListWatch::PauseAfter(const absl::Status& status, uint64_t returns) {
  const int before = std::max(failures_++, vain_lists_ - 1);  // that came to nothing
  const absl::Duration longest =
      std::min(options_.retry_last, options_.retry_first * (1 << std::min(before, kDoublingsMax)));
  absl::Duration pause = UniformDuration(entropy_, absl::ZeroDuration(), longest);
  pause = std::max(pause, RetryAfterOf(status));
  bool is_news = false;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    is_news = error_.message() != status.message();
    error_ = status;
  }
  if (is_news) {
    LogWarning("kubernetes: the watch is interrupted, and is tried again",
               {{"resource", options_.resource.Text()}, {"error", std::string(status.message())}});
  }
  bool waits_for_return = IsWithoutAnswer(status);
  MutexLock lock(mutex_);
  absl::Duration until = clock_.SinceBoot() + pause;
  while (!stopping_ && clock_.SinceBoot() < until) {
    if (waits_for_return && server_.reachability().returns() != returns) {
      waits_for_return = false;
      failures_ = std::min(failures_, kFailuresKept);
      vain_lists_ = std::min(vain_lists_, kFailuresKept);
      until =
          std::min(until, clock_.SinceBoot() + UniformDuration(entropy_, absl::ZeroDuration(), options_.return_spread));
      continue;
    }
    changed_.WaitFor(mutex_, until - clock_.SinceBoot());
  }
}

}  // namespace meshca::kubernetes
