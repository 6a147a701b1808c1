#include "ca/rpc/stream.h"

#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "ca/rpc/connection.h"
#include "ca/rpc/mailbox.h"
#include "ca/rpc/server_stream.h"

namespace meshca::rpc {

StreamHandle ServerStream::handle() { return StreamHandle(shared_from_this()); }

absl::Status ServerStream::HoldBytes(size_t bytes) {
  if (connection_ == nullptr) return absl::OkStatus();
  if (bytes > held_charge_) {
    if (const Fit fit = connection_->ReserveHeld(bytes - held_charge_); fit != Fit::kFits) {
      connection_->CountShutOut(LimitKind::kBufferedBytes);
      return connection_->TooMuchHeld(fit);
    }
  } else if (bytes < held_charge_) {
    connection_->ReleaseHeld(held_charge_ - bytes);
  }
  held_charge_ = bytes;
  return absl::OkStatus();
}

void ServerStream::Post(absl::AnyInvocable<void(StreamHandler&) &&> visit) {
  mailbox_->Post([self = shared_from_this(), visit = std::move(visit)]() mutable {
    if (self->handler_) std::move(visit)(*self->handler_);
  });
}

void ServerStream::Visit(const std::function<void(StreamHandler&)>& visit) {
  if (handler_) visit(*handler_);
}

void StreamHandle::PostAll(std::span<const StreamHandle> handles, const SharedStreamVisit& visit) {
  using Batch = std::vector<std::shared_ptr<StreamLink>>;
  absl::InlinedVector<std::pair<std::shared_ptr<Mailbox>, Batch>, 8> batches;  // one a loop: few, so searched
  for (const StreamHandle& handle : handles) {
    if (!handle.link_) continue;
    const std::shared_ptr<Mailbox>& mailbox = handle.link_->mailbox();
    if (!mailbox) {
      handle.link_->Post([visit](StreamHandler& handler) { (*visit)(handler); });
      continue;
    }
    auto batch = batches.begin();
    while (batch != batches.end() && batch->first != mailbox) ++batch;
    if (batch == batches.end()) batch = batches.insert(batches.end(), {mailbox, {}});
    batch->second.push_back(handle.link_);
  }
  for (auto& [mailbox, batch] : batches) {
    mailbox->Post([batch = std::move(batch), visit] {
      for (const auto& link : batch) link->Visit(*visit);
    });
  }
}

}  // namespace meshca::rpc
