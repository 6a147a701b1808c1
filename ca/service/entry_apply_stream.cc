#include "ca/service/entry_apply_stream.h"

#include <utility>

#include "ca/base/status.h"
#include "ca/edge/edge_status.h"
#include "ca/rpc/protobuf_payload.h"
#include "ca/service/entry_message.h"

namespace meshca {

EntryApplyStream::EntryApplyStream(rpc::Stream& stream, const AdminContext& context, std::string actor,
                                   WorkerPool& worker)
    : stream_(stream), context_(context), worker_(worker) {
  const auto answer = [handle = rpc::TypedStreamHandle<EntryApplyStream>(stream, *this)](
                          const admin::v1::ApplyEntriesProgress& progress) {
    handle.Post([payload = rpc::Frame(progress)](EntryApplyStream& self) mutable { self.Answer(std::move(payload)); });
  };
  apply_ = std::make_shared<EntryApply>(context, std::move(actor), answer);
}

void EntryApplyStream::OnMessage(absl::string_view message) {
  if (busy_) return stream_.Finish(absl::InvalidArgumentError("a part came before the answer to the one before it"));
  busy_ = worker_.Submit(
      [apply = apply_, &context = context_, bytes = std::string(message),
       handle = rpc::TypedStreamHandle<EntryApplyStream>(stream_, *this)] { Take(*apply, context, bytes, handle); });
  if (!busy_) {
    stream_.Finish(WithReason(
        absl::ResourceExhaustedError("too many applies of entries are waiting; try again in a moment"), "QUEUE_FULL"));
  }
}

void EntryApplyStream::Take(EntryApply& apply, const AdminContext& context, const std::string& bytes,
                            const rpc::TypedStreamHandle<EntryApplyStream>& stream) {
  if (apply.abandoned()) return;
  admin::v1::ApplyEntriesPart part;
  absl::Status status = admin_methods::CheckEntryCount(bytes);
  if (status.ok()) status = rpc::ParseMessage(bytes, part);
  if (status.ok()) status = apply.Take(part);
  std::optional<absl::Status> end;
  if (!status.ok() || apply.finished()) end = AdminEdgeStatus(status, "ApplyEntriesInParts", context.entropy);
  stream.Post([end = std::move(end)](EntryApplyStream& self) mutable { self.Taken(std::move(end)); });
}

void EntryApplyStream::OnHalfClose() {
  half_closed_ = true;
  if (!busy_ && !end_) stream_.Finish(absl::InvalidArgumentError("the last part has no `end`: nothing was changed"));
}

void EntryApplyStream::OnClose(const absl::Status& status) {
  apply_->Abandon();
  // Behind what the worker has of this stream. Where its queue is full the apply is left to pruning.
  worker_.Submit([apply = std::move(apply_)] { apply->Drop(); });
}

void EntryApplyStream::Answer(rpc::Payload message) {
  if (apply_->abandoned()) return;
  pending_bytes_ += message->size();
  pending_.push_back(std::move(message));
  Drain();
  if (pending_.empty() || stream_.HoldBytes(pending_bytes_).ok()) return;
  apply_->Abandon();
  pending_.clear();
  stream_.Finish(WithReason(absl::ResourceExhaustedError("the client does not read what became of its entries: if the "
                                                         "end was sent, look at what counts (meshca entry list)"),
                            "SLOW_READER"));
}

void EntryApplyStream::Taken(std::optional<absl::Status> end) {
  busy_ = false;
  end_ = std::move(end);
  if (!end_ && half_closed_) end_ = absl::InvalidArgumentError("the last part has no `end`: nothing was changed");
  Drain();
}

void EntryApplyStream::Drain() {
  while (!pending_.empty() && stream_.Send(pending_.front())) {
    pending_bytes_ -= pending_.front()->size();
    pending_.pop_front();
  }
  if (pending_.empty()) stream_.HoldBytes(0).IgnoreError();
  if (end_ && pending_.empty()) stream_.Finish(*end_);
}

}  // namespace meshca
