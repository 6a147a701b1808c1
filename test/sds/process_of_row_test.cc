// Rows of an earlier run, and the processes that they are.
#include "sds/process_of_row.h"

#include <unistd.h>

#include "ca/base/process_stat.h"
#include "ca/subscribers/subscriber_principal.h"
#include "gtest/gtest.h"
#include "sds/caller.h"

namespace meshca::sds {
namespace {

// The row of this process as if it had begun so many ticks later.
SubscriberRecord OwnRow(Taking taking, uint64_t later = 0) {
  rpc::Peer peer;
  peer.transport = rpc::Transport::kUnix;
  peer.unix_credentials = rpc::UnixCredentials{::getpid(), 7, 7, *ProcessStartTicks(::getpid()) + later};
  SubscriberRecord row;
  row.node = "node-1";
  row.kind = std::string(SubscriberKind(peer, taking));
  row.instance = InstanceKey(peer, taking, "", "spiffe://td.test/web", row.node);
  row.peer = UnixPeerText(::getpid(), 7);
  return row;
}

TEST(ProcessOfRow, IsTheOneThatStillRuns) {
  const ProcessName own = {::getpid(), *ProcessStartTicks(::getpid())};
  for (const Taking taking : kAllTakings) EXPECT_EQ(ProcessOfRow(OwnRow(taking)), own);
}

TEST(ProcessOfRow, IsNotKnownWhereTheNumberIsAnothersNow) {
  EXPECT_FALSE(ProcessOfRow(OwnRow(Taking::kStream, /*later=*/1)).IsKnown());
  SubscriberRecord other_node = OwnRow(Taking::kStream);
  other_node.node = "node-2";
  EXPECT_FALSE(ProcessOfRow(other_node).IsKnown());
}

TEST(ProcessOfRow, IsNotKnownOfPeersThatAreNoProcessHere) {
  for (const char* peer :
       {"pid 0 uid 7", "pid 2147483647 uid 7", "pid -1 uid 7", "pid x uid 7", "pid", "", "10.0.0.7:41822 line 0a1b"}) {
    SubscriberRecord row = OwnRow(Taking::kStream);
    row.peer = peer;
    EXPECT_FALSE(ProcessOfRow(row).IsKnown()) << peer;
  }
}

}  // namespace
}  // namespace meshca::sds
