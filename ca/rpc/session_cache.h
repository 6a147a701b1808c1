// Resumable TLS sessions, kept on the server: a ticket would carry the client's certificate out and back, to be decoded
// again in each handshake.
#ifndef MESHCA_CA_RPC_SESSION_CACHE_H_
#define MESHCA_CA_RPC_SESSION_CACHE_H_

#include <openssl/ssl.h>

#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "ca/base/mutex.h"
#include "ca/base/openssl_ptr.h"

namespace meshca::rpc {

using SslSessionPtr = OpenSslPtr<SSL_SESSION, SSL_SESSION_free>;
// What a client sent, leaf first; shared by the session and the connection's Peer.
using ChainDer = std::shared_ptr<const std::vector<std::string>>;

// At most `sessions_max` sessions; the one used longest ago goes first. Thread-safe.
class SessionCache {
 public:
  struct Entry {
    SslSessionPtr session;  // a reference of the caller's own
    ChainDer chain;         // never null; empty when the client had no certificate
  };

  explicit SessionCache(size_t sessions_max) : sessions_max_(sessions_max) {}

  void Put(absl::string_view id, SslSessionPtr session, ChainDer chain);
  std::optional<Entry> Find(absl::string_view id);
  void Remove(absl::string_view id);
  void Clear();
  size_t size() const;

 private:
  struct Node {
    std::string id;
    SslSessionPtr session;
    ChainDer chain;
  };
  const size_t sessions_max_;
  mutable Mutex mutex_;
  std::list<Node> by_use_ ABSL_GUARDED_BY(mutex_);  // newest first
  absl::flat_hash_map<absl::string_view, std::list<Node>::iterator> by_id_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_SESSION_CACHE_H_
