// Certificate requests that are made while a load sends them: for rounds too long to make all of them beforehand.
#ifndef MESHCA_TEST_BENCH_CSR_STREAM_H_
#define MESHCA_TEST_BENCH_CSR_STREAM_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "test/bench/csr_factory.h"
#include "test/bench/request_source.h"

namespace meshca::bench {

// The CreateCertificate message that asks with `csr` (PEM).
std::string CsrMessage(const std::string& csr);

// A thread of its own makes requests and keeps at most `ahead` of them ready. It runs on whatever cores this process
// may use, beside the load and never on a core that the server was given alone; what it costs is in the load's CPU
// time. When it cannot keep up, Take() has nothing: that is the load's fault, and never counted as the server's.
class CsrStream final : public RequestSource {
 public:
  struct Options {
    size_t count = 0;  // in all
    size_t ahead = 0;  // at least 1
    // The CSRs of every so many requests are kept, so that their answers can be checked; 0: none.
    size_t keep_one_in = 0;
    std::function<std::string()> make;  // one PKCS#10 request, PEM; the thread calls it
  };

  explicit CsrStream(Options options);
  ~CsrStream() override;

  // Waits until as many are ready as may be: before a round's clock starts.
  void Fill();
  // Ends the thread: no more are needed. Idempotent.
  void Stop();
  // How many the thread makes in a second of its work, so far.
  double MadePerSecond() const;

  size_t count() const override { return options_.count; }
  std::optional<std::string> Take(size_t number) override;
  // The CSR behind request `number`, a multiple of `keep_one_in` that was taken.
  const std::string& Kept(size_t number) const { return kept_.at(number); }

 private:
  void Run();

  const Options options_;
  std::map<size_t, std::string> kept_;  // the load's thread
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<std::string> ready_ ABSL_GUARDED_BY(mutex_);
  size_t made_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Duration spent_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_CSR_STREAM_H_
