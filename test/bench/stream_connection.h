// One HTTP/2 connection of the load that carries long-lived gRPC streams: messages both ways, for as long as it lasts.
#ifndef MESHCA_TEST_BENCH_STREAM_CONNECTION_H_
#define MESHCA_TEST_BENCH_STREAM_CONNECTION_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "test/bench/dial.h"

namespace meshca::bench {

// Hears what streams receive. Called from inside OnReadable and Flush; must not destroy the connection there.
class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  // One message without its prefix, valid during the call. Appends the framed answer, if there is one, to `answer`.
  virtual void OnMessage(uint32_t stream, absl::string_view message, std::string& answer) = 0;
  // Everything that answers of this stream put there was taken by the socket.
  virtual void OnAnswered(uint32_t stream) = 0;
  // The server ended it: Ok, or its grpc-status. Once.
  virtual void OnEnd(uint32_t stream, const absl::Status& status) = 0;
};

// Owned by one thread. Reads once a wake-up and writes once: with ten thousand of these, system calls are the cost.
class StreamConnection {
 public:
  // `events` outlives the connection.
  StreamConnection(Dialled dialled, StreamEvents& events);
  ~StreamConnection();
  StreamConnection(const StreamConnection&) = delete;
  StreamConnection& operator=(const StreamConnection&) = delete;

  int fd() const { return socket_.get(); }
  // Bytes wait for room in the socket.
  bool blocked() const { return !unsent_.empty(); }
  // Epoll was told to wait for room: the owner's note.
  bool watches_room = false;

  // Opens a stream that `number` names; `first` is its first message, framed, and with `only` its last one too: a unary
  // call. `headers` live until it returns. Sent at the next Flush().
  void Open(uint32_t number, std::span<const nghttp2_nv> headers, std::string first, bool only = false);
  // One more framed message on an open stream; sent at the next Flush(). False: the stream has ended.
  bool Send(uint32_t number, absl::string_view framed);

  // Reads what is there, answers and writes. Errors: Unavailable (the connection ended, or broke HTTP/2): all its
  // streams have ended then.
  absl::Status OnReadable();
  absl::Status Flush();

 private:
  struct Stream {
    uint32_t number = 0;
    int32_t id = 0;         // HTTP/2's
    bool only = false;      // nothing follows what is in `out`
    bool answered = false;  // in answered_
    std::string in;         // a message that is not whole yet
    std::string out;        // not given to nghttp2 yet
    int grpc_status = -1;
    std::string grpc_message;
  };
  struct SessionDelete {
    void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
  };
  friend struct StreamCallbacks;

  // More than 0: bytes in `buffer`. 0: none now. Below: the connection has ended.
  ssize_t Read(std::span<char> buffer);
  ssize_t Write(absl::string_view bytes);
  absl::Status Lost(absl::string_view why);
  bool OnData(Stream& stream, absl::string_view data);
  void Deliver(Stream& stream, absl::string_view message);
  void End(Stream& stream, const absl::Status& status);
  void ForgetEnded();

  UniqueFd socket_;
  OpenSslPtr<SSL, SSL_free> ssl_;
  StreamEvents& events_;
  std::unique_ptr<nghttp2_session, SessionDelete> session_;
  std::vector<std::unique_ptr<Stream>> streams_;  // open, or ended since the last Flush
  bool some_ended_ = false;
  std::vector<Stream*> answered_;  // answers not all written yet
  std::string unsent_;
};

nghttp2_nv Header(absl::string_view name, absl::string_view value);

// A serialised message with the prefix that gRPC puts before each.
std::string Framed(absl::string_view message);

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_STREAM_CONNECTION_H_
