// One unary call: a request that waits for its answer.
#ifndef MESHCA_CA_RPC_CALL_H_
#define MESHCA_CA_RPC_CALL_H_

#include <memory>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/rpc/metadata.h"
#include "ca/rpc/payload.h"
#include "ca/rpc/peer.h"

namespace meshca::rpc {

// Handed to a unary method's handler on the loop's thread when the whole request has arrived. The handler does not
// block: it keeps the shared_ptr, gives the work away, and whoever ends the work calls Finish once, on any thread.
// Dropping the last reference unfinished answers Internal. Thread-safe where noted "any thread"; the rest is immutable.
//
// An interface so that services can be tested without a socket.
class Call {
 public:
  virtual ~Call() = default;

  // The request message, without its prefix. Valid as long as the Call.
  virtual absl::string_view request() const = 0;
  // "/package.Service/Method".
  virtual absl::string_view method() const = 0;
  virtual const std::shared_ptr<const Peer>& peer() const = 0;
  virtual const Metadata& client_metadata() const = 0;
  // When the client stops waiting (grpc-timeout); InfiniteFuture when it did not say. At that time the edge answers
  // DeadlineExceeded by itself and the call counts as cancelled.
  virtual absl::Time deadline() const = 0;

  // Any thread. True once nobody waits for the answer: the client reset the stream, its connection ended, or the
  // deadline passed. Finish is then still allowed and does nothing.
  virtual bool cancelled() const = 0;

  // Any thread. `on_cancel` runs once, on the loop's thread, when the call becomes cancelled before it is finished; at
  // once when it already is. Replaces an earlier one; is dropped unrun when the call finishes.
  virtual void OnCancel(absl::AnyInvocable<void() &&> on_cancel) = 0;

  // Before Finish, by the thread that will finish. `initial` goes before the message, `trailing` after it. An illegal
  // name or value (Metadata::Add) is dropped.
  virtual void AddInitialMetadata(absl::string_view name, absl::string_view value) = 0;
  virtual void AddTrailingMetadata(absl::string_view name, absl::string_view value) = 0;

  // Any thread, exactly once (a CHECK). Answers with one message and Ok, or with an error. The status's message goes to
  // the client percent-encoded; its reason (ReasonOf) rides in grpc-status-details-bin as google.rpc.ErrorInfo with
  // domain "meshca". Finish(OkStatus()) is Internal: a unary answer has a message.
  virtual void Finish(Payload response) = 0;
  virtual void Finish(const absl::Status& error) = 0;

  // The first value the client sent under `name`, lower-case; "-bin" values decoded. Valid as long as the Call.
  std::optional<absl::string_view> metadata(absl::string_view name) const { return client_metadata().Find(name); }
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CALL_H_
