#include "ca/http/page_server.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"

namespace meshca::http {
namespace {

// Who waits for a page while it is made is bounded by the connections there are; those that have ended meanwhile are
// let go at this many.
constexpr size_t kAskersKept = 256;

absl::Duration Now() { return SystemClock().SinceBoot(); }

}  // namespace

class PageServer::Pages final : public Handler {
 public:
  Pages(std::vector<Page> pages, absl::Duration blocking_gap)
      : pages_(std::move(pages)),
        blocking_gap_(blocking_gap),
        demands_(pages_.size()),
        working_([this] { MakeWantedPages(); }) {}
  ~Pages() override {
    {
      MutexLock lock(mutex_);
      stop_ = true;
    }
    wanted_.NotifyAll();
    working_.join();
  }

  std::optional<Answer> OnHead(const Request& request) override {
    if (request.method != "GET" && request.method != "HEAD") {
      Answer answer = Answer::Refusal(405);
      answer.headers.Add("Allow", "GET, HEAD");
      return answer;
    }
    const auto page = Find(request);
    if (page == pages_.end()) return Answer::Refusal(404);
    if (!page->may_block) return page->make();
    return std::nullopt;
  }

  void OnRequest(Request request, Responder respond) override {
    {
      MutexLock lock(mutex_);
      std::vector<Responder>& askers = demands_[static_cast<size_t>(Find(request) - pages_.begin())].askers;
      if (askers.size() >= kAskersKept) std::erase_if(askers, [](const Responder& one) { return one.is_abandoned(); });
      askers.push_back(std::move(respond));
    }
    wanted_.NotifyOne();
  }

 private:
  // Those who have asked for one page since its last run began.
  struct Demand {
    std::vector<Responder> askers;
    absl::Duration began = -absl::InfiniteDuration();
  };

  std::vector<Page>::const_iterator Find(const Request& request) const {
    return std::find_if(pages_.begin(), pages_.end(), [&](const Page& page) { return page.path == request.path; });
  }
  // The wanted page that was made longest ago, so that one that is always wanted keeps no other waiting.
  std::optional<size_t> NextWanted() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::optional<size_t> next;
    for (size_t i = 0; i < demands_.size(); ++i) {
      if (demands_[i].askers.empty()) continue;
      if (!next.has_value() || demands_[i].began < demands_[*next].began) next = i;
    }
    return next;
  }

  // The working thread: makes the pages that may block.
  void MakeWantedPages() {
    for (;;) {
      size_t page = 0;
      std::vector<Responder> askers;
      {
        MutexLock lock(mutex_);
        std::optional<size_t> next;
        while (!stop_ && !(next = NextWanted()).has_value()) wanted_.Wait(mutex_);
        // Whoever asks again and again gets one run for all that asked meanwhile.
        while (!stop_ && Now() < demands_[*next].began + blocking_gap_) {
          wanted_.WaitFor(mutex_, demands_[*next].began + blocking_gap_ - Now());
        }
        if (stop_) return;
        page = *next;
        demands_[page].began = Now();
        // What is made from here on is no older than their question; who asks later waits for the next run.
        askers.swap(demands_[page].askers);
      }
      const Answer answer = pages_[page].make();
      for (Responder& respond : askers) std::move(respond)(answer);
    }
  }

  const std::vector<Page> pages_;
  const absl::Duration blocking_gap_;
  Mutex mutex_;
  CondVar wanted_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Demand> demands_ ABSL_GUARDED_BY(mutex_);  // beside pages_
  std::thread working_;                                  // last: it uses all of the above
};

PageServer::PageServer(std::unique_ptr<Pages> pages, std::unique_ptr<Server> server)
    : pages_(std::move(pages)), server_(std::move(server)) {}
PageServer::~PageServer() = default;
const std::string& PageServer::address() const { return server_->address(); }

absl::StatusOr<std::unique_ptr<PageServer>> PageServer::Start(const std::string& address, std::vector<Page> pages,
                                                              PageServerOptions options) {
  auto handler = std::make_unique<Pages>(std::move(pages), options.blocking_gap);
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<Server> server, Server::Start(address, *handler, std::move(options.server)));
  return std::unique_ptr<PageServer>(new PageServer(std::move(handler), std::move(server)));
}

}  // namespace meshca::http
