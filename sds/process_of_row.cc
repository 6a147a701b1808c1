#include "sds/process_of_row.h"

#include <optional>

#include "ca/base/process_stat.h"
#include "ca/rpc/peer.h"
#include "ca/subscribers/subscriber_principal.h"
#include "sds/caller.h"

namespace meshca::sds {

ProcessName ProcessOfRow(const SubscriberRecord& row) {
  const std::optional<int32_t> pid = SubscriberPid(row);
  if (!pid.has_value() || *pid <= 0) return {};
  const absl::StatusOr<uint64_t> began = ProcessStartTicks(*pid);
  if (!began.ok()) return {};
  rpc::Peer peer;
  peer.transport = rpc::Transport::kUnix;
  peer.unix_credentials = rpc::UnixCredentials{*pid, 0, 0, *began};
  for (const Taking taking : kAllTakings) {
    if (row.instance == InstanceKey(peer, taking, "", "", row.node)) return {*pid, *began};
  }
  return {};
}

}  // namespace meshca::sds
