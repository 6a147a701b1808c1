// Who is at the other end of a connection, as far as the transport knows.
#ifndef MESHCA_CA_RPC_PEER_H_
#define MESHCA_CA_RPC_PEER_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace meshca::rpc {

enum class Transport { kUnix, kTls, kPlaintext };

// The kernel's word (SO_PEERCRED) on who called connect().
struct UnixCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  // Field 22 of /proc/PID/stat, clock ticks since boot, read once when the connection was accepted: with the pid it
  // names one process for ever, although pids come round. 0: the process was gone or /proc cannot be read.
  uint64_t pid_start_ticks = 0;
};

// Made when the connection is ready for its first call; immutable from then on and shared by all its calls and streams,
// which may keep it beyond the connection.
struct Peer {
  Transport transport = Transport::kPlaintext;
  // Unique within the process; starts at 1.
  uint64_t connection_id = 0;
  // "192.0.2.7:41234", "[2001:db8::1]:41234" or "unix:uid=1000,pid=4242".
  std::string address;
  // kUnix only.
  std::optional<UnixCredentials> unix_credentials;
  // kTls only: what the client sent, leaf first; empty when it sent none. Present means the ClientVerifier accepted it.
  std::vector<std::string> certificate_chain_der;
  // What ClientVerifier::Verify returned for that chain; null without one. The service that installed the verifier
  // knows the type behind it.
  std::shared_ptr<const void> identity;
  // kTls only: "TLSv1.3" or "TLSv1.2".
  std::string tls_version;
  // kTls only: this handshake resumed a cached session (the chain was verified again all the same).
  bool tls_resumed = false;
  // The listener it came by was opened as privileged (ListenerOptions).
  bool privileged = false;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_PEER_H_
