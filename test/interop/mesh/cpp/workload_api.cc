#include "test/interop/mesh/cpp/workload_api.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace {

using std::chrono::seconds;

constexpr seconds kCallTimeout(30);
constexpr seconds kBackoffFirst(1);
constexpr seconds kBackoffMax(30);

// The standard's mark of a caller that knows what it asks for: no web page can be made to send it.
void PrepareCall(grpc::ClientContext& context) { context.AddMetadata("workload.spiffe.io", "true"); }

void PrepareUnaryCall(grpc::ClientContext& context) {
  PrepareCall(context);
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
}

void ThrowIfFailed(const grpc::Status& status, const std::string& call) {
  if (!status.ok()) {
    throw std::runtime_error(call + ": code " + std::to_string(status.error_code()) + ": " + status.error_message());
  }
}

}  // namespace

WorkloadApi::WorkloadApi(const std::string& endpoint, OnUpdate on_update)
    : on_update_(std::move(on_update)),
      stub_(SpiffeWorkloadAPI::NewStub(grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials()))) {
  follower_ = std::thread([this] { FollowX509Svids(); });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return has_identity_ || !fatal_.empty(); });
  if (has_identity_) return;
  lock.unlock();
  follower_.join();
  throw std::runtime_error(fatal_);
}

WorkloadApi::~WorkloadApi() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    if (streaming_ != nullptr) streaming_->TryCancel();
  }
  changed_.notify_all();
  follower_.join();
}

void WorkloadApi::FollowX509Svids() {
  seconds backoff = kBackoffFirst;
  while (true) {
    grpc::Status why;
    if (ReadStream(why)) backoff = kBackoffFirst;
    std::unique_lock lock(mutex_);
    if (why.error_code() == grpc::StatusCode::INVALID_ARGUMENT) {  // the one answer that does not change by itself
      fatal_ = "FetchX509SVID: " + why.error_message();
      changed_.notify_all();
      return;
    }
    // Nobody entitled us yet (PermissionDenied), or the other end restarts: what we hold stays good until it expires.
    if (changed_.wait_for(lock, backoff, [this] { return stopping_; })) return;
    backoff = std::min(2 * backoff, kBackoffMax);
  }
}

bool WorkloadApi::ReadStream(grpc::Status& why_it_ended) {
  grpc::ClientContext context;
  PrepareCall(context);
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return false;
    streaming_ = &context;
  }
  auto stream = stub_->FetchX509SVID(&context, {});
  bool told = false;
  X509SVIDResponse response;
  while (stream->Read(&response)) {
    if (response.svids().empty()) continue;
    const X509SVID& first = response.svids(0);  // the default one; choose by hint() where there are several
    on_update_({first.spiffe_id(), first.x509_svid(), first.x509_svid_key(), first.bundle()});
    told = true;
    std::lock_guard lock(mutex_);
    has_identity_ = true;
    changed_.notify_all();
  }
  why_it_ended = stream->Finish();
  std::lock_guard lock(mutex_);
  streaming_ = nullptr;
  return told;
}

std::string WorkloadApi::FetchJwt(const std::string& audience) {
  grpc::ClientContext context;
  PrepareUnaryCall(context);
  JWTSVIDRequest request;
  request.add_audience(audience);
  JWTSVIDResponse response;
  ThrowIfFailed(stub_->FetchJWTSVID(&context, request, &response), "FetchJWTSVID");
  if (response.svids().empty()) throw std::runtime_error("FetchJWTSVID: the answer holds no token");
  return response.svids(0).svid();
}

std::string WorkloadApi::ValidateJwt(const std::string& token, const std::string& audience) {
  grpc::ClientContext context;
  PrepareUnaryCall(context);
  ValidateJWTSVIDRequest request;
  request.set_audience(audience);
  request.set_svid(token);
  ValidateJWTSVIDResponse response;
  ThrowIfFailed(stub_->ValidateJWTSVID(&context, request, &response), "ValidateJWTSVID");
  return response.spiffe_id();
}
