// Says in the log that callers are turned away: who, by which limit, and what to do about it.
#ifndef MESHCA_CA_RPC_SHUT_OUT_LOG_H_
#define MESHCA_CA_RPC_SHUT_OUT_LOG_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "ca/rpc/once_a_minute.h"
#include "ca/rpc/source_table.h"
#include "ca/rpc/stats.h"

namespace meshca::rpc {

// One line a minute for each limit and kind of source: the first of the minute by name, the others as a number, so that
// a flood fills no disk and an operator still learns of it. Any thread, no lock.
class ShutOutLog {
 public:
  static constexpr int64_t kEveryNs = OnceAMinute::kEveryNs;

  // `source` met `limit` with the connection from `peer`.
  void Tell(LimitKind limit, const Source& source, absl::string_view peer, int64_t now_ns);
  // accept() failed with `error`; nobody's name is known.
  void TellNoDescriptors(absl::string_view error, int64_t now_ns);

  // Whether a line is due, and how many were passed over since the last.
  std::optional<uint64_t> Due(LimitKind limit, SourceKey::Kind kind, int64_t now_ns);

 private:
  std::array<std::array<OnceAMinute, kSourceKinds>, static_cast<size_t>(LimitKind::kCount)> told_;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_SHUT_OUT_LOG_H_
