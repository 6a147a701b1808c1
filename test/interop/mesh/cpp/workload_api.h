// The SPIFFE Workload API for a C++ program: gRPC C++ on proto/spiffe/workload/workload.proto, and nothing else.
#ifndef MESHCA_TEST_INTEROP_MESH_CPP_WORKLOAD_API_H_
#define MESHCA_TEST_INTEROP_MESH_CPP_WORKLOAD_API_H_

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "spiffe/workload/workload.grpc.pb.h"

// One X.509-SVID as the Workload API gives it: all of it belongs together.
struct X509Svid {
  std::string spiffe_id;
  std::string chain_der;  // leaf first, one certificate behind the other
  std::string key_der;    // PKCS#8. A secret: it is never logged
  std::string roots_der;  // what peers of the same trust domain are verified by
};

// Follows the identity of this process. Thread-safe.
class WorkloadApi {
 public:
  // Told of the first X.509-SVID and of each later one, from the thread of the stream.
  using OnUpdate = std::function<void(const X509Svid&)>;

  // `endpoint` is $SPIFFE_ENDPOINT_SOCKET: "unix:///run/meshca/api.sock". Returns when `on_update` was told of the
  // first identity, however long that takes: an entry that gives one may be made later. Throws std::runtime_error where
  // asking again cannot help.
  WorkloadApi(const std::string& endpoint, OnUpdate on_update);
  ~WorkloadApi();

  // A JWT-SVID of this process's identity, to be shown to `audience`. Throws std::runtime_error.
  std::string FetchJwt(const std::string& audience);

  // The SPIFFE ID of a JWT-SVID that was meant for `audience`. Throws std::runtime_error for any other token.
  std::string ValidateJwt(const std::string& token, const std::string& audience);

 private:
  void FollowX509Svids();
  // One stream, until it ends; true once it has brought an identity.
  bool ReadStream(grpc::Status& why_it_ended);

  const OnUpdate on_update_;
  const std::unique_ptr<SpiffeWorkloadAPI::Stub> stub_;

  std::mutex mutex_;  // guards what is below
  std::condition_variable changed_;
  bool has_identity_ = false;
  bool stopping_ = false;
  std::string fatal_;                         // why the stream was given up; "" while it goes on
  grpc::ClientContext* streaming_ = nullptr;  // for the destructor, which cancels it

  std::thread follower_;
};

#endif  // MESHCA_TEST_INTEROP_MESH_CPP_WORKLOAD_API_H_
