// Sockets that wait for clients: binding them, and taking what comes.
#ifndef MESHCA_CA_RPC_LISTENER_H_
#define MESHCA_CA_RPC_LISTENER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ca/rpc/edge.h"
#include "ca/rpc/loop.h"

namespace meshca::rpc {

// Binds and listens as Server::AddListener says; `address` gets the one with the real port.
absl::StatusOr<std::unique_ptr<Listener>> BindListener(ListenerOptions options, std::string& address);

// Closes the socket and removes its file, unless another server has put its own there.
void CloseListener(Listener& listener);

// Accepts on one loop from one listener and gives each connection to the loop that has the fewest. Loop thread, apart
// from construction.
class Acceptor final : public EventTarget, public Timer {
 public:
  // All outlive the acceptor.
  Acceptor(Loop& loop, const Listener& listener, const std::vector<std::unique_ptr<Loop>>& loops)
      : loop_(loop), listener_(listener), loops_(loops) {}
  ~Acceptor() { loop_.timers().Cancel(*this); }

  void Start();
  void Stop();

  void OnEvents(uint32_t events) override;
  void OnTimer() override { Start(); }

 private:
  // False: no more to accept now.
  bool AcceptOne();
  void Admit(UniqueFd fd, const SourceKey& key, Peer peer);
  // Whether there is a place for one more of `source`, perhaps because somebody gave way. False: counted and logged.
  bool FindPlace(Room room, const std::shared_ptr<Source>& source, absl::string_view peer);
  // Somebody in `rooms` gives way, or on another loop will: of `source` itself, or where null of the largest source.
  bool Displace(std::vector<Room> rooms, const std::shared_ptr<Source>& newcomer, bool of_newcomers_source);
  bool Refuse(LimitKind limit, const Source& source, absl::string_view peer);
  // A client of this listener may show a certificate and be another source from then on.
  bool AsksForCertificates() const;
  Loop& LeastLoaded() const;

  Loop& loop_;
  const Listener& listener_;
  const std::vector<std::unique_ptr<Loop>>& loops_;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_LISTENER_H_
