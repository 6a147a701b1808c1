// Thousands of SDS streams from one thread: subscribes, acknowledges everything, and knows when each stream did.
#ifndef MESHCA_TEST_BENCH_SDS_LOAD_H_
#define MESHCA_TEST_BENCH_SDS_LOAD_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/unique_fd.h"
#include "test/bench/dial.h"
#include "test/bench/discovery_wire.h"
#include "test/bench/stream_connection.h"

namespace meshca::bench {

struct SdsLoadOptions {
  DialOptions server;
  int streams = 1000;
  int connections = 0;  // 0: one a stream
  std::vector<std::string> resources = {"ROOTCA"};
  Discovery discovery = Discovery::kStateOfTheWorld;
  std::string node_id_prefix = "bench-";  // the stream's number follows: no two are one node
};

// One change as the streams saw it, by the wall clock. A stream acknowledged when the socket took its answer.
struct SeenChange {
  absl::Time first_received;
  std::vector<absl::Time> acknowledged;  // of every stream, in order of time
  uint64_t bytes = 0;                    // of the messages received
};

// One thread; no stream is served but inside its calls. Streams that end stay ended and are counted; the rest go on.
class SdsLoad final : private StreamEvents {
 public:
  // Raises the limit of open files. Errors: Dialler::Create's, AllowDescriptors'; InvalidArgument (numbers).
  static absl::StatusOr<std::unique_ptr<SdsLoad>> Create(SdsLoadOptions options);
  ~SdsLoad() override;

  // Opens all streams and waits until each has received and acknowledged everything it asked for. Errors: no
  // connection; DeadlineExceeded, with how many wait; the first that ended, when one did.
  absl::Status Open(absl::Time deadline);

  // From here on a stream takes part in the change when it receives a version it did not have. `on_first` runs once,
  // when the first one does.
  void BeginChange(std::function<void()> on_first = nullptr);
  bool ChangeBegun() const { return first_received_ns_ != 0; }
  bool ChangeEnded() const { return change_left_ == 0; }
  // DeadlineExceeded when not every live stream has acknowledged: how many did.
  absl::StatusOr<SeenChange> TakeChange();

  // Serves the streams until `done`, asked after every wake-up, or `deadline`. `extra_fd` wakes as well. Returns
  // whether done. Errors: the system's; Unavailable when no stream is left.
  absl::StatusOr<bool> ServeUntil(absl::FunctionRef<bool()> done, absl::Time deadline, int extra_fd = -1);

  int live() const { return live_; }
  int connections() const { return static_cast<int>(connections_.size()); }
  uint64_t responses() const { return responses_; }
  uint64_t checked_whole() const { return checked_whole_; }
  // How streams ended, by code; and the first one's words.
  const std::map<std::string, int>& ends() const { return ends_; }
  const absl::Status& first_end() const { return first_end_; }

 private:
  struct Stream {
    uint64_t version = 0;  // hash of the last one; 0: none yet
    int64_t received_ns = 0;
    int64_t answered_ns = 0;  // of the change; 0: not yet
    uint32_t missing = 0;     // resources not received yet
    bool ended = false;
  };

  explicit SdsLoad(SdsLoadOptions options, Dialler dialler);
  absl::Status OpenConnection(int number);
  absl::Status Turn(int timeout_ms);
  void Serve(uint32_t connection, uint32_t events);
  void Arm(uint32_t connection);
  void TakeWhole(Stream& stream, absl::string_view message);
  void Broken(Stream& stream, const absl::Status& why);

  void OnMessage(uint32_t number, absl::string_view message, std::string& answer) override;
  void OnAnswered(uint32_t number) override;
  void OnEnd(uint32_t number, const absl::Status& status) override;

  const SdsLoadOptions options_;
  const Dialler dialler_;
  const SubscriptionRequests requests_;
  UniqueFd epoll_;
  std::vector<nghttp2_nv> headers_;
  std::string path_;
  std::vector<std::unique_ptr<StreamConnection>> connections_;  // null: lost
  std::vector<Stream> streams_;
  int64_t now_ns_ = 0;  // when the bytes at hand were there to read

  int live_ = 0;
  int unready_ = 0;
  bool changing_ = false;
  int change_left_ = 0;
  int64_t first_received_ns_ = 0;
  std::function<void()> on_first_;
  uint64_t change_bytes_ = 0;
  uint64_t responses_ = 0;
  uint64_t checked_whole_ = 0;
  std::map<std::string, int> ends_;
  absl::Status first_end_;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_SDS_LOAD_H_
