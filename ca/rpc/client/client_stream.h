// A call of ours with many messages either way: what its caller does to it, and what it is told.
#ifndef MESHCA_CA_RPC_CLIENT_CLIENT_STREAM_H_
#define MESHCA_CA_RPC_CLIENT_CLIENT_STREAM_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace meshca::rpc {

// The caller's side of a stream. Any thread, and inside the handler's functions too. It may be kept longer than the
// call lives: once the call has ended, everything here does nothing. Dropping it does not end the call; Cancel does.
class ClientStream {
 public:
  virtual ~ClientStream() = default;

  // Asks for the next message: OnMessage or OnClose follows. Asked again before it came, it counts once. Nothing is
  // read ahead, so a handler that asks for no more makes the server wait instead of filling our memory. The end of the
  // call is noticed by reading, so a caller that waits for it has always asked.
  virtual void Read() = 0;

  // Queues one message for the server. False, and nothing queued, where the queue is full because the server does not
  // read (ClientStreamOptions::queue_bytes_max): OnWritable follows when the queue is empty. After HalfClose, or when
  // the call is ending: true, and the message is dropped.
  virtual bool Send(std::string message) = 0;

  // Nothing more will be sent: the server is told so behind the messages that are queued.
  virtual void HalfClose() = 0;

  // Gives the call up: messages that wait on either side are dropped, and OnClose follows with Cancelled, unless the
  // call had ended by then.
  virtual void Cancel() = 0;
};

// What becomes of a stream. Runs on the thread of the channel, never two at once, and must not block. Owned by the
// call; destroyed right behind OnClose.
class ClientStreamHandler {
 public:
  virtual ~ClientStreamHandler() = default;

  // The message that Read asked for; the bytes are valid during the call only.
  virtual void OnMessage(ClientStream& stream, absl::string_view message) = 0;

  // The queue is empty again after a Send that returned false.
  virtual void OnWritable(ClientStream& stream) {}

  // The last call, always exactly once: the status that the server sent, with its reason (ReasonOf). Cancelled after
  // Cancel or the channel's Shutdown, DeadlineExceeded, Unavailable where the connection failed or broke.
  virtual void OnClose(const absl::Status& status) = 0;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_CLIENT_CLIENT_STREAM_H_
