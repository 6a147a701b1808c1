#include "ca/kubernetes/list_watch.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"
#include "ca/base/status.h"

namespace meshca::kubernetes {
namespace {
// A pause doubles no further than this many times: it has long been the longest.
constexpr int kDoublingsMax = 20;
}  // namespace

ListWatch::ListWatch(ListWatchOptions options, ApiServer& server, ObjectSink& sink, const Clock& clock,
                     EntropySource& entropy)
    : options_(std::move(options)),
      server_(server),
      sink_(sink),
      clock_(clock),
      entropy_(entropy),
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
  MutexLock lock(mutex_);
  heard_ = clock_.SinceBoot();
  error_ = absl::OkStatus();
}

void ListWatch::Run() {
  while (!Stopping()) {
    const absl::Status status = resource_version_.empty() ? List() : Watch();
    if (status.ok()) {
      failures_ = 0;
      continue;
    }
    // What the watch stood on is no longer kept over there: everything is listed again. An object that cannot be read
    // may be mended by that, too.
    if (absl::IsOutOfRange(status) || absl::IsInvalidArgument(status)) resource_version_.clear();
    PauseAfter(status);
  }
}

absl::Status ListWatch::List() {
  sink_.OnListBegin();
  std::string next_page;
  do {
    MESHCA_RETURN_IF_ERROR(ListPage(next_page));
    if (Stopping()) return absl::OkStatus();
  } while (!next_page.empty());
  sink_.OnListEnd();
  Heard();
  MutexLock lock(mutex_);
  ++lists_;
  return absl::OkStatus();
}

absl::Status ListWatch::ListPage(std::string& next_page) {
  std::string query = absl::StrCat("limit=", options_.page);
  if (!options_.field_selector.empty()) {
    absl::StrAppend(&query, "&fieldSelector=", PercentEncode(options_.field_selector));
  }
  if (!next_page.empty()) absl::StrAppend(&query, "&continue=", PercentEncode(next_page));
  ListReader reader(options_.paths, [this](const PickedFields& object) { sink_.OnObject(object); });
  http::CallOptions call;
  call.timeout = options_.list_timeout;
  MESHCA_RETURN_IF_ERROR(
      StreamAndWait("list", query, call, [&reader](absl::string_view piece) { return reader.Take(piece); }));
  MESHCA_RETURN_IF_ERROR(reader.End());
  next_page = reader.next_page();
  // Between two pages nothing is watched from: only the whole list is one moment.
  if (next_page.empty()) resource_version_ = reader.resource_version();
  return absl::OkStatus();
}

absl::Status ListWatch::Watch() {
  // Not all watches of all clients at once.
  const absl::Duration time = UniformDuration(entropy_, options_.watch_time, 2 * options_.watch_time);
  std::string query =
      absl::StrCat("watch=true&allowWatchBookmarks=true&timeoutSeconds=", absl::ToInt64Seconds(absl::Ceil(time, absl::Seconds(1))),
                   "&resourceVersion=", PercentEncode(resource_version_));
  if (!options_.field_selector.empty()) {
    absl::StrAppend(&query, "&fieldSelector=", PercentEncode(options_.field_selector));
  }
  http::CallOptions call;
  call.timeout = time + options_.silence;
  call.silence_timeout = options_.silence;
  absl::Status refused;
  WatchReader reader(options_.paths, [this, &refused](WatchEvent event) {
    if (refused.ok()) refused = OnEvent(std::move(event));
  });
  const absl::Status ended = StreamAndWait("watch", query, call, [&](absl::string_view piece) {
    MESHCA_RETURN_IF_ERROR(reader.Take(piece));
    return refused;
  });
  return refused.ok() ? ended : refused;
}

absl::Status ListWatch::OnEvent(WatchEvent event) {
  if (event.kind == WatchEvent::Kind::kError) {
    const std::string text = absl::StrCat("the watch was ended by ", event.code, ": ", event.message);
    return event.code == 410 ? absl::OutOfRangeError(text) : absl::UnavailableError(text);
  }
  if (event.kind == WatchEvent::Kind::kDeleted) {
    sink_.OnGone(event.object);
  } else if (event.kind != WatchEvent::Kind::kBookmark) {
    sink_.OnObject(event.object);
  }
  if (!event.resource_version.empty()) resource_version_ = std::move(event.resource_version);
  Heard();
  return absl::OkStatus();
}

absl::Status ListWatch::StreamAndWait(const std::string& verb, const std::string& query,
                                      const http::CallOptions& options,
                                      std::function<absl::Status(absl::string_view)> take) {
  ApiCall call;
  call.verb = verb;
  call.resource = options_.resource;
  call.query = query;
  std::optional<absl::Status> ended;
  ApiServer::Streamed streamed;
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

void ListWatch::PauseAfter(const absl::Status& status) {
  const absl::Duration longest =
      std::min(options_.retry_last, options_.retry_first * (1 << std::min(failures_++, kDoublingsMax)));
  absl::Duration pause = UniformDuration(entropy_, absl::ZeroDuration(), longest);
  if (absl::IsResourceExhausted(status)) pause = std::max(pause, server_.RetryAfter());
  bool is_news = false;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    is_news = error_.message() != status.message();
    error_ = status;
  }
  if (is_news) {
    LogWarning("kubernetes: watch interrupted", {{"resource", options_.resource.Text()}, {"error", status.message()}});
  }
  MutexLock lock(mutex_);
  const absl::Duration until = clock_.SinceBoot() + pause;
  while (!stopping_ && clock_.SinceBoot() < until) changed_.WaitFor(mutex_, until - clock_.SinceBoot());
}

}  // namespace meshca::kubernetes
