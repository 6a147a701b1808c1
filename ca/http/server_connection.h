// One connection of the HTTP server.
#ifndef MESHCA_CA_HTTP_SERVER_CONNECTION_H_
#define MESHCA_CA_HTTP_SERVER_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/http/event_loop.h"
#include "ca/http/http_server.h"
#include "ca/http/message_reader.h"
#include "ca/http/wire.h"

namespace meshca::http {

class ServerConnection;

// What a connection needs of its server; the loop's thread alone.
class ConnectionHost {
 public:
  virtual const ServerOptions& options() const = 0;
  virtual const ServerTls* tls() const = 0;  // null: plain
  virtual Handler& handler() = 0;
  virtual const std::shared_ptr<EventLoop>& loop() = 0;
  // Finish what is under way and take no more.
  virtual bool is_draining() const = 0;
  // It is idle from now on.
  virtual void OnIdle(ServerConnection& connection) = 0;
  // Lets go of it.
  virtual void OnEnd(ServerConnection& connection) = 0;

 protected:
  ~ConnectionHost() = default;
};

// Lives on the loop's thread: handshake, then request and answer by turns, then an end in order. It is deaf while an
// answer is made, so a client that sends ahead waits in the kernel's buffers.
class ServerConnection : public std::enable_shared_from_this<ServerConnection> {
 public:
  // `host` outlives the connection.
  ServerConnection(ConnectionHost& host, std::unique_ptr<Wire> wire, std::string peer);

  void Begin();
  // The server drains: ends now if nothing has been asked, else behind the answer.
  void Drain();
  // Ends now, whatever is under way.
  void CutOff();
  // Nothing has been asked, or all of it answered.
  bool is_idle() const { return phase_ != Phase::kWaiting && phase_ != Phase::kWriting; }

 private:
  enum class Phase { kHandshake, kReading, kWaiting, kWriting, kLingering, kEnded };

  void BeginRequest();
  void ReceiveNext();
  void OnReceived(absl::StatusOr<absl::string_view> bytes);
  void TakeReceived();
  void InviteBody();
  void Dispatch();
  void OnAnswer(uint64_t number, Answer answer);
  void Send(Answer answer);
  void OnSent(const absl::Status& status);
  void Linger();
  void SetDeadline(absl::Duration timeout);
  void OnDeadline();

  ConnectionHost& host_;
  const std::unique_ptr<Wire> wire_;
  const std::string peer_;
  Timer deadline_;
  Phase phase_ = Phase::kHandshake;
  std::optional<RequestReader> reader_;
  std::string received_;  // and not taken by the reader yet
  bool head_seen_ = false;
  bool has_begun_ = false;  // a byte of the request that is read has come
  bool is_head_request_ = false;
  bool ends_ = false;           // with the answer that is sent
  bool is_inviting_ = false;    // 100 Continue is being sent
  std::optional<Answer> held_;  // to be sent behind it
  uint64_t number_ = 0;         // of the request: an answer to an earlier one comes too late
};

}  // namespace meshca::http

#endif  // MESHCA_CA_HTTP_SERVER_CONNECTION_H_
