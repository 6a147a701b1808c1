// What signs now and what is trusted now, in one immutable piece.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_SNAPSHOT_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_SNAPSHOT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ca/authority/signing_authority.h"
#include "ca/authority/trust_bundle.h"

namespace meshca {

// Immutable, shared by every thread. A change of any authority makes a new one; readers keep the one they took.
struct AuthoritySnapshot {
  uint64_t revision = 0;  // the store's revision this was made from; only grows

  // The issuing authority that signs; its key is there. Null: nothing can sign (issuance is Unavailable).
  std::shared_ptr<const SigningAuthority> issuing;
  std::shared_ptr<const TrustBundle> bundle;
  // Every authority known, retired ones included, without private keys.
  std::vector<SigningAuthority> authorities;

  // What follows the leaf in a chain, one certificate an element: the issuing certificate, then its upstream.
  std::vector<Certificate> chain_tail;
  std::vector<std::string> chain_tail_pem;
  // Every trusted root as PEM, the active one first: the last element of a CreateCertificate answer.
  std::string roots_pem;
};

// Where the newest snapshot is found. Thread-safe.
class AuthoritySnapshots {
 public:
  using Listener = std::function<void(const std::shared_ptr<const AuthoritySnapshot>&)>;
  virtual ~AuthoritySnapshots() = default;

  // Never null once the CA has started.
  virtual std::shared_ptr<const AuthoritySnapshot> Current() const = 0;

  // Calls `listener` after every change, on the thread that made it and with no lock held, in order of revision.
  // Listeners are added before the CA starts and live as long as it does.
  virtual void AddListener(Listener listener) = 0;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_SNAPSHOT_H_
