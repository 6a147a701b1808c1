// The stream by which an apply of many entries comes: the loop's side of EntryApply.
#ifndef MESHCA_CA_SERVICE_ENTRY_APPLY_STREAM_H_
#define MESHCA_CA_SERVICE_ENTRY_APPLY_STREAM_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/edge/worker_pool.h"
#include "ca/rpc/payload.h"
#include "ca/rpc/stream.h"
#include "ca/rpc/typed_stream_handle.h"
#include "ca/service/admin_context.h"
#include "ca/service/entry_apply.h"

namespace meshca {

// One part is with the worker at a time, so a client cannot make the server hold more than one. See rpc::StreamHandler
// for threads.
class EntryApplyStream final : public rpc::StreamHandler {
 public:
  // `worker` has one thread, so that what was given to it runs in order; it and `context` outlive the stream.
  EntryApplyStream(rpc::Stream& stream, const AdminContext& context, std::string actor, WorkerPool& worker);

  void OnMessage(absl::string_view message) override;
  void OnHalfClose() override;
  void OnWritable() override { Drain(); }
  void OnClose(const absl::Status& status) override;

 private:
  // Runs on the worker.
  static void Take(EntryApply& apply, const AdminContext& context, const std::string& bytes,
                   const rpc::TypedStreamHandle<EntryApplyStream>& stream);
  void Answer(rpc::Payload message);
  void Taken(std::optional<absl::Status> end);
  void Drain();

  rpc::Stream& stream_;
  const AdminContext& context_;
  WorkerPool& worker_;
  std::shared_ptr<EntryApply> apply_;
  bool busy_ = false;
  bool half_closed_ = false;
  std::deque<rpc::Payload> pending_;  // the client is behind
  size_t pending_bytes_ = 0;          // charged to its budgets
  std::optional<absl::Status> end_;
};

}  // namespace meshca

#endif  // MESHCA_CA_SERVICE_ENTRY_APPLY_STREAM_H_
