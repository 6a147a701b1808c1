#include "ca/authn/jwks_source.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/authn/fetch_url.h"
#include "ca/authn/http_get.h"
#include "ca/base/clock.h"
#include "ca/base/file.h"
#include "ca/base/log.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/http/http_client.h"
#include "ca/json/json_value.h"

namespace meshca {
namespace {

constexpr size_t kWaitersMax = 1024;

// Gives the newest set, or nothing where it is what the last call gave. One thread at a time.
class JwksLoader {
 public:
  virtual ~JwksLoader() = default;
  virtual absl::StatusOr<std::optional<Jwks>> Load() = 0;
  // Any thread: a Load that is under way ends soon, and each later one fails.
  virtual void Cancel() {}
  virtual std::string name() const = 0;
};

class FileLoader final : public JwksLoader {
 public:
  explicit FileLoader(std::string path) : path_(std::move(path)) {}
  std::string name() const override { return path_; }

  absl::StatusOr<std::optional<Jwks>> Load() override {
    struct stat now = {};
    if (::stat(path_.c_str(), &now) != 0) {
      loaded_ = {};  // whatever comes back under this name is new
      return ErrnoStatus(errno, absl::StrCat("stat ", path_));
    }
    if (IsSame(now)) return std::optional<Jwks>();
    loaded_ = {};  // a file that is broken, perhaps because it is just being written, is read again next time
    MESHCA_ASSIGN_OR_RETURN(const std::string text, ReadFile(path_, Jwks::kBytesMax, FileSecrecy::kPublic));
    absl::StatusOr<Jwks> jwks = Jwks::Parse(text);
    if (!jwks.ok()) return Annotate(jwks.status(), path_);
    loaded_ = now;
    return std::optional<Jwks>(*std::move(jwks));
  }

 private:
  // The inode too, because a file is replaced by renaming another over it; and the change time rather than the
  // modification time, which `cp -p` and archives carry along.
  bool IsSame(const struct stat& now) const {
    return now.st_ino == loaded_.st_ino && now.st_dev == loaded_.st_dev && now.st_size == loaded_.st_size &&
           now.st_ctim.tv_sec == loaded_.st_ctim.tv_sec && now.st_ctim.tv_nsec == loaded_.st_ctim.tv_nsec;
  }
  const std::string path_;
  struct stat loaded_ = {};
};

class UrlLoader final : public JwksLoader {
 public:
  using Get = std::function<absl::StatusOr<std::string>(const std::string& url)>;
  // Without `url`, it is discovered at `issuer` for every look: issuers move their keys.
  UrlLoader(std::string url, std::string issuer, Get get, std::function<void()> cancel)
      : url_(std::move(url)), issuer_(std::move(issuer)), get_(std::move(get)), cancel_(std::move(cancel)) {}
  void Cancel() override {
    if (cancel_) cancel_();
  }
  std::string name() const override { return url_.empty() ? issuer_ : url_; }

  absl::StatusOr<std::optional<Jwks>> Load() override {
    std::string url = url_;
    if (url.empty()) {
      MESHCA_ASSIGN_OR_RETURN(url, Discover());
    }
    MESHCA_ASSIGN_OR_RETURN(const std::string text, get_(url));
    absl::StatusOr<Jwks> jwks = Jwks::Parse(text);
    if (!jwks.ok()) return Annotate(jwks.status(), url);
    return std::optional<Jwks>(*std::move(jwks));
  }

 private:
  // OpenID Connect Discovery §4: the document must name the issuer it was asked for.
  absl::StatusOr<std::string> Discover() {
    const std::string url = absl::StrCat(absl::StripSuffix(issuer_, "/"), "/.well-known/openid-configuration");
    MESHCA_ASSIGN_OR_RETURN(const std::string text, get_(url));
    absl::StatusOr<JsonValue> document = ParseJson(text);
    if (!document.ok()) return Annotate(document.status(), url);
    if (document->FindText("issuer") != absl::string_view(issuer_)) {
      return absl::InvalidArgumentError(
          absl::StrCat(url, ": it is the document of issuer \"", document->FindText("issuer"), "\", not of ", issuer_));
    }
    const std::string jwks_uri(document->FindText("jwks_uri"));
    if (absl::Status good = ParseFetchUrl(jwks_uri).status(); !good.ok()) return Annotate(good, url + ": jwks_uri");
    return jwks_uri;
  }

  const std::string url_, issuer_;
  const Get get_;
  const std::function<void()> cancel_;  // may be empty
};

// One thread around a loader.
class BackgroundSource final : public JwksSource {
 public:
  struct Intervals {
    absl::Duration regular, retry, requested, keep_max;
  };
  // `first`: a set that was read already; null: the thread begins with a look.
  BackgroundSource(std::unique_ptr<JwksLoader> loader, Intervals intervals, std::shared_ptr<const Jwks> first)
      : loader_(std::move(loader)), intervals_(intervals), current_(std::move(first)) {
    looking_ = current_ == nullptr;
    if (!looking_) {
      looked_at_ = good_at_ = Now();
      last_success_ = absl::Now();
      SayIgnored(*current_, nullptr);
    }
    thread_ = std::thread([this] { Run(); });
  }
  ~BackgroundSource() override { Stop(); }

  std::shared_ptr<const Jwks> Current() const override {
    MutexLock lock(mutex_);
    return current_;
  }

  JwksReport Report() const override {
    MutexLock lock(mutex_);
    return {loader_->name(), last_success_, error_, current_};
  }

  void Refresh(Done done) override {
    absl::Status answer;
    {
      MutexLock lock(mutex_);
      if (stopping_) {
        answer = absl::UnavailableError("the server is shutting down");
      } else if (!looking_ && Now() - requested_at_ < intervals_.requested) {
        answer = AnswerLocked();
      } else if (waiters_.size() >= kWaitersMax) {
        answer =
            WithReason(absl::ResourceExhaustedError("too many tokens wait for an issuer's keys; retry with backoff"),
                       "AUTHENTICATION_QUEUE_FULL");
      } else {
        waiters_.push_back(std::move(done));
        changed_.NotifyAll();
        return;
      }
    }
    std::move(done)(std::move(answer));
  }

  void TryAgain() override {
    MutexLock lock(mutex_);
    if (error_.empty() && !looking_) return;
    interval_ = std::min(interval_, intervals_.retry);
    // Whether the look that is under way fails its end tells.
    look_at_once_ = true;
    changed_.NotifyAll();
  }

  void Stop() override {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      changed_.NotifyAll();
    }
    loader_->Cancel();
    if (thread_.joinable()) thread_.join();
  }

 private:
  static absl::Duration Now() { return SystemClock().SinceBoot(); }

  // A status of its own for each who asked: Abseil's copies share one that ThreadSanitizer cannot follow across
  // threads.
  absl::Status AnswerLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (current_ != nullptr) return absl::OkStatus();
    const std::string since = last_success_ == absl::InfinitePast()
                                  ? "never reached"
                                  : absl::StrCat("not reached since ", OffsetText(last_success_));
    return WithReason(absl::UnavailableError(absl::StrCat(since, ": ", error_)), "JWKS_UNAVAILABLE");
  }

  // Tells of the keys that a new set leaves unused, once per change: `before` is the set before it, or null.
  void SayIgnored(const Jwks& jwks, const Jwks* before) const {
    const std::string ignored = jwks.IgnoredText();
    if (!ignored.empty() && (before == nullptr || ignored != before->IgnoredText())) {
      LogWarning("keys of a token issuer are not used", {{"keys", loader_->name()}, {"ignored", ignored}});
    }
    if (jwks.keys().empty() && (before == nullptr || !before->keys().empty())) {
      LogError("a token issuer publishes no key that can be used: none of its tokens is accepted",
               {{"keys", loader_->name()}});
    }
  }

  // Sleeps until a look is due; false: stop.
  bool AwaitDue() {
    MutexLock lock(mutex_);
    while (!stopping_ && !looking_) {
      if (!waiters_.empty()) {
        requested_at_ = Now();
        looking_ = true;
        break;
      }
      const absl::Duration left = looked_at_ + interval_ - Now();
      if (left <= absl::ZeroDuration() || look_at_once_) {
        looking_ = true;
        look_at_once_ = false;
        break;
      }
      changed_.WaitFor(mutex_, left);
    }
    return !stopping_;
  }

  void Publish(absl::StatusOr<std::optional<Jwks>> loaded) {
    std::vector<std::pair<Done, absl::Status>> answers;
    std::string news;  // a fault not told of yet
    std::shared_ptr<const Jwks> taken;
    std::shared_ptr<const Jwks> before;
    bool dropped = false;
    {
      MutexLock lock(mutex_);
      looking_ = false;
      looked_at_ = Now();
      if (loaded.ok()) {
        interval_ = intervals_.regular;
        look_at_once_ = false;
        error_.clear();
        good_at_ = looked_at_;
        last_success_ = absl::Now();
        if (loaded->has_value()) {
          before = current_;
          taken = current_ = std::make_shared<const Jwks>(*std::move(*loaded));
        }
      } else {
        interval_ = error_.empty() ? intervals_.retry : std::min(2 * interval_, intervals_.regular);
        if (loaded.status().message() != absl::string_view(error_)) news = std::string(loaded.status().message());
        error_ = std::string(loaded.status().message());
        dropped = current_ != nullptr && looked_at_ - good_at_ >= intervals_.keep_max;
        if (dropped) current_ = nullptr;
      }
      for (Done& done : waiters_) answers.emplace_back(std::move(done), AnswerLocked());
      waiters_.clear();
    }
    if (taken != nullptr) SayIgnored(*taken, before.get());
    if (!news.empty()) {
      LogWarning("a token issuer's keys could not be read; the last good ones stay",
                 {{"keys", loader_->name()}, {"error", news}});
    }
    if (dropped) {
      LogError("a token issuer's keys were not read for too long: none of its tokens is accepted until they are",
               {{"keys", loader_->name()}, {"after", absl::FormatDuration(intervals_.keep_max)}});
    }
    for (auto& [done, answer] : answers) std::move(done)(std::move(answer));
  }

  void Run() {
    while (AwaitDue()) Publish(loader_->Load());
    std::vector<Done> waiters;
    {
      MutexLock lock(mutex_);
      waiters.swap(waiters_);
    }
    for (Done& done : waiters) std::move(done)(absl::UnavailableError("the server is shutting down"));
  }

  const std::unique_ptr<JwksLoader> loader_;  // the thread's own
  const Intervals intervals_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::shared_ptr<const Jwks> current_ ABSL_GUARDED_BY(mutex_);
  std::string error_ ABSL_GUARDED_BY(mutex_);  // of the last look; "" when it went well
  std::vector<Done> waiters_ ABSL_GUARDED_BY(mutex_);
  bool looking_ ABSL_GUARDED_BY(mutex_) = false;  // a look is under way or about to be
  bool look_at_once_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Duration interval_ ABSL_GUARDED_BY(mutex_) = intervals_.regular;
  absl::Duration looked_at_ ABSL_GUARDED_BY(mutex_);
  absl::Duration good_at_ ABSL_GUARDED_BY(mutex_);                          // time since boot
  absl::Time last_success_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();  // the same by the wall clock, for people
  absl::Duration requested_at_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<JwksSource>> OpenJwksSource(const JwksLocation& location, JwksSourceOptions options) {
  if (!location.file.empty()) {
    auto loader = std::make_unique<FileLoader>(location.file);
    MESHCA_ASSIGN_OR_RETURN(std::optional<Jwks> first, loader->Load());
    // Looked at again for each unknown key: a stat() costs less than keeping count.
    return std::make_unique<BackgroundSource>(std::move(loader),
                                              BackgroundSource::Intervals{options.file_interval, options.file_interval,
                                                                          absl::ZeroDuration(), options.keep_max},
                                              std::make_shared<const Jwks>(*std::move(first)));
  }
  const std::string& start = location.url.empty() ? location.issuer : location.url;
  MESHCA_RETURN_IF_ERROR(ParseFetchUrl(start).status());
  std::function<void()> cancel;
  if (!options.get) {
    MESHCA_ASSIGN_OR_RETURN(std::shared_ptr<http::Client> client,
                            http::Client::Create({.tls = http::ClientTls::Believing(location.ca_file)}));
    cancel = [client] { client->Stop(); };
    options.get = [client = std::move(client)](const std::string& url) {
      HttpGetOptions get;
      get.bytes_max = Jwks::kBytesMax;
      return HttpGet(*client, url, get);
    };
  }
  return std::make_unique<BackgroundSource>(
      std::make_unique<UrlLoader>(location.url, location.issuer, std::move(options.get), std::move(cancel)),
      BackgroundSource::Intervals{options.url_interval, options.retry_interval, options.unknown_key_interval,
                                  options.keep_max},
      nullptr);
}

}  // namespace meshca
