#include "ca/authn/http_get.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <thread>

#include <httplib.h>

#include "absl/strings/str_cat.h"
#include "ca/authn/fetch_url.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"
#include "ca/base/unique_fd.h"

namespace meshca {
namespace {

// Once the time is over: how often the socket is cut, should it not have been there, or connected, before.
constexpr absl::Duration kCutAgain = absl::Milliseconds(50);

// kube-apiserver serves its keys as application/jwk-set+json alone and answers 406 to who does not ask for that; most
// others serve application/json. What an answer calls itself is not looked at: its bytes are judged.
constexpr char kAccept[] = "application/jwk-set+json, application/json";

// Cuts a request that takes too long in all: the library's own timeouts begin again with every byte that arrives. It
// holds the socket itself, because the library's stop() waits for a lock that a TLS handshake has from end to end.
class Deadline {
 public:
  explicit Deadline(absl::Duration timeout)
      : thread_([this, timeout] {
          MutexLock lock(mutex_);
          const absl::Duration end = SystemClock().SinceBoot() + timeout;
          while (!finished_ && SystemClock().SinceBoot() < end) {
            changed_.WaitFor(mutex_, end - SystemClock().SinceBoot());
          }
          while (!finished_) {
            passed_ = true;
            if (socket_.valid()) shutdown(socket_.get(), SHUT_RDWR);
            changed_.WaitFor(mutex_, kCutAgain);
          }
        }) {}
  ~Deadline() { Finish(); }

  // The socket that the request is about to use; the caller's descriptor stays its own.
  void Watch(int fd) {
    MutexLock lock(mutex_);
    socket_ = UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  }

  // Whether the time ran out.
  bool Finish() {
    {
      MutexLock lock(mutex_);
      finished_ = true;
      changed_.NotifyAll();
    }
    if (thread_.joinable()) thread_.join();
    MutexLock lock(mutex_);
    return passed_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  UniqueFd socket_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool passed_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

std::string Origin(const FetchUrl& url) {
  const bool ipv6 = url.host.find(':') != std::string::npos;
  return absl::StrCat(url.https ? "https://" : "http://", ipv6 ? "[" : "", url.host, ipv6 ? "]" : "", ":", url.port);
}

}  // namespace

absl::StatusOr<std::string> HttpGet(const std::string& url, const HttpGetOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const FetchUrl parts, FetchUrl::Parse(url));
  auto failed = [&url](absl::string_view why) { return absl::UnavailableError(absl::StrCat("GET ", url, ": ", why)); };
  httplib::Client client(Origin(parts));
  if (!client.is_valid()) return failed("the TLS client could not be set up");
  const auto timeout = absl::ToChronoMicroseconds(options.timeout);
  client.set_connection_timeout(timeout);
  client.set_read_timeout(timeout);
  client.set_write_timeout(timeout);
  client.set_follow_location(false);
  client.enable_server_certificate_verification(true);
  if (!options.ca_file.empty()) client.set_ca_cert_path(options.ca_file);

  std::string body;
  bool too_large = false;
  Deadline deadline(options.timeout);
  client.set_socket_options([&deadline](int fd) { deadline.Watch(fd); });
  const httplib::Result result = client.Get(parts.target, {{"Accept", kAccept}}, [&](const char* data, size_t size) {
    too_large = body.size() + size > options.bytes_max;
    if (!too_large) body.append(data, size);
    return !too_large;
  });
  if (deadline.Finish()) return failed(absl::StrCat("no whole answer within ", absl::FormatDuration(options.timeout)));
  if (too_large) return failed(absl::StrCat("the answer is longer than ", options.bytes_max, " bytes"));
  if (!result) return failed(httplib::to_string(result.error()));
  if (result->status != 200) return failed(absl::StrCat("HTTP status ", result->status));
  return body;
}

}  // namespace meshca
