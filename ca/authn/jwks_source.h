// Keeps an issuer's keys fresh.
#ifndef MESHCA_CA_AUTHN_JWKS_SOURCE_H_
#define MESHCA_CA_AUTHN_JWKS_SOURCE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/jwt/jwks.h"

namespace meshca {

// How it stands with an issuer's keys, for `check` and metrics.
struct JwksReport {
  std::string location;                            // file or URL; the issuer where its URL is discovered
  absl::Time last_success = absl::InfinitePast();  // wall clock, for people; InfinitePast: never reached
  std::string error;                               // of the last look; "" when it went well
  std::shared_ptr<const Jwks> keys;                // what tokens are judged by now; null: nothing
};

// Thread-safe.
class JwksSource {
 public:
  // Runs once: on the source's own thread, or at once on the caller's.
  using Done = absl::AnyInvocable<void(absl::Status) &&>;
  virtual ~JwksSource() = default;

  // The last good set; null before there was one, and when it has become too old (JwksSourceOptions::keep_max).
  virtual std::shared_ptr<const Jwks> Current() const = 0;
  virtual JwksReport Report() const = 0;

  // Looks again, because a token names a key that is not there. At most one look every 30 s goes out to a URL,
  // whatever tokens claim; within that time, `done` is answered at once. A file is looked at each time, and read when
  // it changed. Ok: Current() is as new as it gets now. Unavailable: there is no set (says why). A look that fails
  // keeps the old set and is Ok. ResourceExhausted: too many wait already.
  virtual void Refresh(Done done) = 0;

  // Somebody has found out that the source can be reached again: after a look that failed, one that is under way
  // included, the next is made at once and the pauses begin anew. Never blocks.
  virtual void TryAgain() {}

  // Ends the thread; those who wait are answered Unavailable before this returns. Current() stays. Idempotent.
  virtual void Stop() = 0;
};

// Where the keys are: `file`, else `url`, else discovery at `issuer` (OpenID Connect Discovery §4).
struct JwksLocation {
  std::string file;
  std::string url;
  std::string issuer;
  std::string ca_file;  // PEM, for https; "": the system's certificates
};

struct JwksSourceOptions {
  absl::Duration file_interval = absl::Seconds(5);  // a stat() each
  absl::Duration url_interval = absl::Minutes(5);
  absl::Duration retry_interval = absl::Seconds(10);  // after a failure, doubled each time up to url_interval
  absl::Duration unknown_key_interval = absl::Seconds(30);
  // For how long the last good set stays where the source cannot be read, or holds no key set: long enough for an
  // issuer that is being mended, and an end for whoever holds a stolen key and keeps us from hearing that it was
  // withdrawn.
  absl::Duration keep_max = absl::Hours(24);
  // GET of a URL: the body. Empty: HttpGet of ca/authn/http_get.h.
  std::function<absl::StatusOr<std::string>(const std::string& url)> get;
};

// Starts one thread, which ends with the source. A file is read before this returns: InvalidArgument, NotFound or
// PermissionDenied names it. A URL may be out of reach now and come back; HTTP takes a second thread. InvalidArgument:
// the URL is no https one (http is for loopback addresses only).
absl::StatusOr<std::unique_ptr<JwksSource>> OpenJwksSource(const JwksLocation& location,
                                                           JwksSourceOptions options = {});

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_JWKS_SOURCE_H_
