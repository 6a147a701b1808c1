// Which certificates of this node the CA has taken back.
#ifndef MESHCA_CLI_AGENT_PROCESS_TOLD_REVOCATIONS_H_
#define MESHCA_CLI_AGENT_PROCESS_TOLD_REVOCATIONS_H_

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/mutex.h"
#include "sds/revocation_source.h"

namespace meshca::cli {

// Keeps the newest kRememberedMax serial numbers, far more than a node has live certificates; the CA tells all that
// still live again whenever the agent attaches. Thread-safe; never blocks.
class ToldRevocations final : public sds::RevocationSource {
 public:
  static constexpr size_t kRememberedMax = 65'536;

  // Lower-case hex.
  void Add(const std::vector<std::string>& serials);

  absl::StatusOr<bool> IsRevoked(absl::string_view serial) override;

 private:
  Mutex mutex_;
  absl::flat_hash_set<std::string> serials_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> in_order_ ABSL_GUARDED_BY(mutex_);  // the oldest first
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_AGENT_PROCESS_TOLD_REVOCATIONS_H_
