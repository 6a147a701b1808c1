// One streaming call, either way or both: messages in, messages out, until either side ends it.
#ifndef MESHCA_CA_RPC_STREAM_H_
#define MESHCA_CA_RPC_STREAM_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/rpc/metadata.h"
#include "ca/rpc/payload.h"
#include "ca/rpc/peer.h"

namespace meshca::rpc {

class Mailbox;

// The service's side of a stream: owned by the stream, made by the method's factory, destroyed right after OnClose.
// Everything runs on the thread of the connection's loop, never two at once, and must not block.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;

  // One message from the client, without its prefix; the bytes are valid during the call only.
  virtual void OnMessage(absl::string_view message) = 0;

  // The client will send nothing more. The usual answer is Finish; a stream may go on sending.
  virtual void OnHalfClose() = 0;

  // The queue has room again after a Send that returned false.
  virtual void OnWritable() {}

  // The last call, always exactly once: `status` is what the stream ended with: that given to Finish when all of it was
  // written; Cancelled when the client reset it; Unavailable when the connection broke or the server shuts down;
  // DeadlineExceeded. The Stream is not to be used any more, except its handle, which from now on does nothing, and
  // queued_messages(), which says how many messages were never handed to the socket.
  virtual void OnClose(const absl::Status& status) = 0;
};

// Runs on the loop thread of each stream it is posted to, with that stream's handler.
using SharedStreamVisit = std::shared_ptr<const std::function<void(StreamHandler&)>>;

// What a handle points at. An interface so that tests can stand in for the edge.
class StreamLink {
 public:
  virtual ~StreamLink() = default;
  // Any thread. Runs `visit` on the stream's loop unless the stream has ended by then.
  virtual void Post(absl::AnyInvocable<void(StreamHandler&) &&> visit) = 0;
  // Loop thread: runs `visit` now, unless the stream has ended.
  virtual void Visit(const std::function<void(StreamHandler&)>& visit) = 0;
  // Identifies the loop; links with one mailbox are woken together. Null: no loop, Post each.
  virtual const std::shared_ptr<Mailbox>& mailbox() const = 0;
};

// Names a stream from any thread and for as long as one likes: it keeps a small record alive, not the stream. Posting
// to a stream that has ended does nothing. Cheap to copy (one shared_ptr).
class StreamHandle {
 public:
  StreamHandle() = default;
  explicit StreamHandle(std::shared_ptr<StreamLink> link) : link_(std::move(link)) {}

  // Any thread. Posts run in the order posted by one thread.
  void Post(absl::AnyInvocable<void(StreamHandler&) &&> visit) const {
    if (link_) link_->Post(std::move(visit));
  }

  // Any thread. Runs one `visit` on every stream of `handles`, each on its own loop, waking each loop once however many
  // streams it has: how one snapshot reaches 10,000 proxies.
  static void PostAll(std::span<const StreamHandle> handles, const SharedStreamVisit& visit);

  explicit operator bool() const { return link_ != nullptr; }
  bool operator==(const StreamHandle& other) const { return link_ == other.link_; }

 private:
  std::shared_ptr<StreamLink> link_;
};

// The edge's side of a stream. Loop thread only, apart from handle()'s result. Lives until the handler's OnClose
// returns. An interface so that handlers can be tested without a socket.
class Stream {
 public:
  virtual ~Stream() = default;

  // Queues `message` for the client. False, and nothing queued, when the queue is at its limit
  // (StreamOptions::queue_messages_max, queue_bytes_max) because the client does not read: OnWritable follows when it
  // does. After Finish, or when the stream is ending: true, and the message is dropped.
  virtual bool Send(Payload message) = 0;

  // Ends the stream once the queued messages are written. The first call decides; later ones do nothing. Encoded as
  // Call::Finish does. OnClose follows, not from inside this call.
  virtual void Finish(const absl::Status& status) = 0;

  // Sends the response headers now; otherwise they go with the first message. Initial metadata must be added before.
  virtual void SendInitialMetadata() = 0;
  virtual void AddInitialMetadata(absl::string_view name, absl::string_view value) = 0;
  virtual void AddTrailingMetadata(absl::string_view name, absl::string_view value) = 0;

  // Charges `bytes` in all, in place of what was charged before, for what the handler keeps because of this stream, to
  // the buffer budget of connection, source and process; the stream's end gives it back. ResourceExhausted, and the
  // charge as it was, when one of them is used up: then the handler keeps no more, and most often ends the stream with
  // this status, which names the caller and says what to do. Less always fits. When the stream is over: Ok.
  virtual absl::Status HoldBytes(size_t bytes) = 0;

  // Messages queued and not yet handed to the socket.
  virtual size_t queued_messages() const = 0;

  virtual absl::string_view method() const = 0;
  virtual const std::shared_ptr<const Peer>& peer() const = 0;
  virtual const Metadata& client_metadata() const = 0;
  // InfiniteFuture when the client set none; at that time the edge ends the stream DeadlineExceeded.
  virtual absl::Time deadline() const = 0;

  // A name for this stream that other threads may keep and post to.
  virtual StreamHandle handle() = 0;

  // The first value the client sent under `name`, lower-case; "-bin" values decoded. Valid as long as the Stream.
  std::optional<absl::string_view> metadata(absl::string_view name) const { return client_metadata().Find(name); }
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_STREAM_H_
