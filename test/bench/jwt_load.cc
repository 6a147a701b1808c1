#include "test/bench/jwt_load.h"

#include <poll.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "ca/base/status.h"
#include "spiffe/workload/workload.pb.h"

namespace meshca::bench {

absl::StatusOr<std::unique_ptr<JwtLoad>> JwtLoad::Create(JwtLoadOptions options) {
  MESHCA_ASSIGN_OR_RETURN(const Dialler dialler, Dialler::Create(options.server));
  std::unique_ptr<JwtLoad> load(new JwtLoad(std::move(options)));
  load->authority_ = dialler.authority();
  load->headers_ = {Header(":method", "POST"),
                    Header(":scheme", dialler.tls() ? "https" : "http"),
                    Header(":path", "/SpiffeWorkloadAPI/FetchJWTSVID"),
                    Header(":authority", load->authority_),
                    Header("te", "trailers"),
                    Header("content-type", "application/grpc"),
                    Header("workload.spiffe.io", "true")};
  MESHCA_ASSIGN_OR_RETURN(Dialled dialled, dialler.Dial());
  StreamEvents& events = *load;
  load->connection_ = std::make_unique<StreamConnection>(std::move(dialled), events);
  return load;
}

JwtLoad::~JwtLoad() = default;

void JwtLoad::Call() {
  --left_;
  JWTSVIDRequest request;
  request.add_audience(options_.new_each ? absl::StrCat(options_.audience, "-", last_) : options_.audience);
  begun_.emplace(++last_, absl::Now());
  connection_->Open(last_, headers_, Framed(request.SerializeAsString()), /*only=*/true);
}

absl::StatusOr<JwtLoadResult> JwtLoad::Run(uint64_t calls, absl::Time deadline) {
  result_ = {};
  left_ = calls;
  const absl::Time start = absl::Now();
  for (int i = 0; i < options_.in_flight && left_ > 0; ++i) Call();
  MESHCA_RETURN_IF_ERROR(connection_->Flush());
  while (!begun_.empty() && failure_.ok()) {
    const absl::Duration time = deadline - absl::Now();
    if (time <= absl::ZeroDuration()) return absl::DeadlineExceededError("not every call was answered");
    pollfd wait = {connection_->fd(), static_cast<short>(connection_->blocked() ? POLLIN | POLLOUT : POLLIN), 0};
    poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(time) + 1));
    MESHCA_RETURN_IF_ERROR(connection_->OnReadable());
  }
  if (!failure_.ok()) return failure_;
  result_.wall = absl::Now() - start;
  return std::move(result_);
}

void JwtLoad::OnMessage(uint32_t number, absl::string_view message, std::string&) {
  result_.latency.Record(absl::Now() - begun_[number]);
  JWTSVIDResponse response;
  const bool read = response.ParseFromArray(message.data(), static_cast<int>(message.size()));
  if (!read || response.svids().empty() || response.svids(0).svid().empty()) {
    failure_ = absl::DataLossError("an answer without a token");
  }
  ++result_.tokens;
}

void JwtLoad::OnEnd(uint32_t number, const absl::Status& status) {
  begun_.erase(number);
  if (!status.ok() && failure_.ok()) failure_ = status;
  if (left_ > 0 && failure_.ok()) Call();
}

}  // namespace meshca::bench
