// What is particular to one kind of requests for certificates, such as PodCertificateRequests.
#ifndef MESHCA_CA_REQUEST_SIGNING_REQUEST_KIND_H_
#define MESHCA_CA_REQUEST_SIGNING_REQUEST_KIND_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/issuance/issuance_pipeline.h"
#include "ca/issuance/issuance_request.h"
#include "ca/kubernetes/api_call.h"
#include "ca/kubernetes/list_watch.h"
#include "ca/kubernetes/picked_fields.h"
#include "ca/kubernetes/resource.h"
#include "ca/request_signing/api_request.h"

namespace meshca {

// A call that says to the API server why a request is refused for ever, or that it is approved; and why, for the log.
struct RequestReply {
  kubernetes::ApiCall call;
  std::string why;
};

// What is done with a request.
struct RequestVerdict {
  enum class Kind {
    kSign,     // `submitted`
    kRefuse,   // `reply`, which ends it
    kApprove,  // `reply`; then it is read and judged again
    kAwait,    // nothing is said until somebody else changes it: `why`
    kWait,     // nothing is said, and it is judged again later: `why`
    kSoon,     // nothing is said: what it takes is being asked for, and RequestSigner::JudgeAgain is called then
    kForget,   // nothing is to be said: `why`
  };
  Kind kind = Kind::kWait;
  SubmittedRequest submitted = {};
  RequestReply reply = {};
  std::string why = {};  // for people
};

// Rules: computes only, and looks into memory, but for OnRefused. `version` is the API's that requests are followed by.
// Thread-safe.
class RequestKind {
 public:
  virtual ~RequestKind() = default;

  // Versions of the API, the preferred one first.
  virtual std::vector<std::string> Versions() const = 0;
  virtual kubernetes::Resource ResourceOf(absl::string_view version) const = 0;
  // What is picked of each object, and read by Read. InvalidArgument: a field that is missing or cannot be read.
  virtual std::vector<std::string> Paths() const = 0;
  virtual absl::StatusOr<ApiRequestPtr> Read(const kubernetes::PickedFields& object) const = 0;
  // The version by which the request has to be read once more, because this one does not show all of it; "": it does.
  virtual std::string ShownBetterBy(const ApiRequest& request) const {
    (void)request;
    return "";
  }

  virtual RequestVerdict Judge(const ApiRequest& request, absl::string_view version, absl::Time now) const = 0;

  // Unavailable: a certificate that is made now would not be taken, which passes by itself.
  virtual absl::Status CheckReady(absl::Time now) const = 0;
  // What an error of the pipeline is to whoever asks: a refusal where no other attempt can end better; nothing where it
  // may.
  virtual std::optional<RequestReply> RefusalOf(const ApiRequest& request, absl::string_view version,
                                                const absl::Status& error, absl::Time now) const = 0;
  // The API server has taken a refusal; `why` is RequestReply's.
  virtual void OnRefused(const ApiRequest& request, absl::string_view version, const std::string& why) const {
    (void)request;
    (void)version;
    (void)why;
  }
  // The call that hands `issued` out. Internal: it is not what it should be, and must not leave.
  virtual absl::StatusOr<kubernetes::ApiCall> CallToAnswer(const ApiRequest& request, absl::string_view version,
                                                           const IssuedCertificate& issued, absl::Time now) const = 0;
  // Would `issued`, which could not be handed out yet, still be taken?
  virtual bool IsFresh(const IssuedCertificate& issued, absl::Time now) const = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_REQUEST_SIGNING_REQUEST_KIND_H_
