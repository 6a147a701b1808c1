#include "ca/service/entry_apply_stream.h"

#include <gmock/gmock.h>

#include <future>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "ca/service/entry_message.h"
#include "test/ca/service/fake_rpc.h"
#include "test/ca/service/service_fixture.h"
#include "test/fakes/status_matchers.h"

namespace meshca {
namespace {

namespace v1 = ::meshca::admin::v1;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class EntryApplyStreamTest : public ServiceTest {
 protected:
  EntryApplyStreamTest() {
    stream.SetHandler(std::make_unique<EntryApplyStream>(stream, context, "uid 0 pid 1", worker));
  }

  static void AddEntry(v1::ApplyEntriesPart& part, int number) {
    v1::Entry& entry = *part.add_entries();
    entry.set_spiffe_id(absl::StrCat("spiffe://cluster.local/e", number));
    entry.add_selectors(absl::StrCat("unix:uid:", number + 1));
  }
  static v1::ApplyEntriesPart Part(int first, int count) {
    v1::ApplyEntriesPart part;
    for (int i = first; i < first + count; ++i) AddEntry(part, i);
    return part;
  }
  void Send(const v1::ApplyEntriesPart& part) { stream.handler().OnMessage(part.SerializeAsString()); }
  // Works until there is an answer that `wanted` likes, or the stream has ended.
  template <typename Wanted>
  void RunUntil(Wanted wanted) {
    while (!stream.finished().has_value()) {
      stream.RunOnePost();
      stream.ClientReads();
      v1::ApplyEntriesProgress last;
      if (stream.read().empty() || !last.ParseFromString(stream.read().back())) continue;
      if (wanted(last)) return;
    }
  }
  // Behind the answer comes the news that the worker has done with the part.
  void RunPart(const v1::ApplyEntriesPart& part, uint64_t received) {
    Send(part);
    RunUntil([&](const v1::ApplyEntriesProgress& last) { return last.received() == received; });
    stream.RunOnePost();
  }
  size_t Entries() { return store.ListEntries()->size(); }

  const AdminContext context = Context();
  FakeStream stream{4};
  WorkerPool worker{1, 16};
};

TEST_F(EntryApplyStreamTest, NothingCountsBeforeTheEndAndAllOfItAfterwards) {
  RunPart(Part(0, 3), 3);
  RunPart(Part(3, 2), 5);
  EXPECT_EQ(Entries(), 0u);
  EXPECT_EQ(entry_changes, 0);
  v1::ApplyEntriesPart last = Part(5, 1);
  last.mutable_end();
  Send(last);
  RunUntil([](const v1::ApplyEntriesProgress&) { return false; });
  EXPECT_THAT(*stream.finished(), IsOk());
  EXPECT_EQ(Entries(), 6u);
  EXPECT_EQ(entry_changes, 1) << "who keeps entries in memory is told once";
  v1::ApplyEntriesProgress all;
  for (const std::string& bytes : stream.read()) {
    v1::ApplyEntriesProgress one;
    ASSERT_TRUE(one.ParseFromString(bytes));
    all.MergeFrom(one);
  }
  EXPECT_THAT(all.result().created(), SizeIs(6));
  EXPECT_TRUE(all.finished());
}

TEST_F(EntryApplyStreamTest, AStreamThatBreaksOffChangesNothing) {
  RunPart(Part(0, 3), 3);
  stream.Close(absl::CancelledError("the client went away"));
  EXPECT_EQ(Entries(), 0u);
}

TEST_F(EntryApplyStreamTest, AStreamThatEndsWithoutAnEndChangesNothing) {
  RunPart(Part(0, 3), 3);
  stream.handler().OnHalfClose();
  ASSERT_TRUE(stream.finished().has_value());
  EXPECT_THAT(*stream.finished(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nothing was changed")));
  stream.Close(*stream.finished());
  EXPECT_EQ(Entries(), 0u);
}

TEST_F(EntryApplyStreamTest, AnEntryThatIsWrongIsToldByItsPlaceAmongAll) {
  RunPart(Part(0, 3), 3);
  v1::ApplyEntriesPart bad = Part(3, 1);
  bad.add_entries()->set_spiffe_id("nonsense");
  bad.mutable_end();
  Send(bad);
  RunUntil([](const v1::ApplyEntriesProgress&) { return false; });
  EXPECT_THAT(*stream.finished(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("entries[4]")));
  v1::ApplyEntriesProgress last;
  ASSERT_TRUE(last.ParseFromString(stream.read().back()));
  ASSERT_THAT(last.faults(), SizeIs(1));
  EXPECT_EQ(last.faults(0).place(), 4u);
  EXPECT_EQ(Entries(), 0u);
}

TEST_F(EntryApplyStreamTest, OnePartAtATime) {
  Send(Part(0, 1));
  Send(Part(1, 1));
  ASSERT_TRUE(stream.finished().has_value());
  EXPECT_THAT(*stream.finished(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("before the answer")));
}

TEST_F(EntryApplyStreamTest, WhatACallerSentBeforeItWentAwayIsNotCarriedOut) {
  std::promise<void> free;
  ASSERT_TRUE(worker.Submit([until = free.get_future()] { until.wait(); }));
  v1::ApplyEntriesPart last = Part(0, 3);
  last.mutable_end();
  Send(last);
  stream.Close(absl::CancelledError("the client went away"));
  free.set_value();
  std::promise<void> done;
  ASSERT_TRUE(worker.Submit([&] { done.set_value(); }));
  done.get_future().wait();
  EXPECT_EQ(Entries(), 0u);
}

TEST_F(EntryApplyStreamTest, AMessageOfMoreEntriesThanItMayHoldIsRefusedUnparsed) {
  v1::ApplyEntriesPart part;
  for (int i = 0; i <= admin_methods::kMessageEntriesMax; ++i) part.add_entries();
  Send(part);
  RunUntil([](const v1::ApplyEntriesProgress&) { return false; });
  EXPECT_THAT(*stream.finished(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 20000")));
  part.mutable_entries()->RemoveLast();
  EXPECT_THAT(admin_methods::CheckEntryCount(part.SerializeAsString()), IsOk());
}

TEST_F(EntryApplyStreamTest, WhoDoesNotReadIsEndedWhenItsBudgetIsUsedUp) {
  FakeStream stalled{0};
  stalled.SetHandler(std::make_unique<EntryApplyStream>(stalled, context, "uid 0 pid 1", worker));
  stalled.held_max = 0;
  stalled.handler().OnMessage(Part(0, 3).SerializeAsString());
  while (!stalled.finished().has_value()) stalled.RunOnePost();
  EXPECT_THAT(*stalled.finished(), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("does not read")));
}

TEST_F(EntryApplyStreamTest, ADryRunTellsNobody) {
  v1::ApplyEntriesPart last = Part(0, 2);
  last.mutable_end()->set_dry_run(true);
  Send(last);
  RunUntil([](const v1::ApplyEntriesProgress&) { return false; });
  EXPECT_THAT(*stream.finished(), IsOk());
  EXPECT_EQ(entry_changes, 0);
  EXPECT_EQ(Entries(), 0u);
}

}  // namespace
}  // namespace meshca
