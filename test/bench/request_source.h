// Where a load takes the requests from that it sends.
#ifndef MESHCA_TEST_BENCH_REQUEST_SOURCE_H_
#define MESHCA_TEST_BENCH_REQUEST_SOURCE_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meshca::bench {

// One message as gRPC frames it on HTTP/2, uncompressed.
std::string GrpcFrame(absl::string_view message);

// Used by the load's thread alone.
class RequestSource {
 public:
  virtual ~RequestSource() = default;
  // How many there are in all.
  virtual size_t count() const = 0;
  // The framed message that leaves as request `number`; numbers grow, and each is asked for once. Nothing: it is not
  // made yet, and the request does not leave.
  virtual std::optional<std::string> Take(size_t number) = 0;
};

// Requests that were all made, and framed, before the load begins.
class ReadyRequests final : public RequestSource {
 public:
  explicit ReadyRequests(std::span<const std::string> messages);
  size_t count() const override { return framed_.size(); }
  std::optional<std::string> Take(size_t number) override { return std::move(framed_[number]); }

 private:
  std::vector<std::string> framed_;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_REQUEST_SOURCE_H_
