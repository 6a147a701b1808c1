// One line of the audit log.
#ifndef MESHCA_CA_IDENTITY_AUDIT_ENTRY_H_
#define MESHCA_CA_IDENTITY_AUDIT_ENTRY_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace meshca {

// What an operator or the CA itself did to trust. The store appends it in the transaction that does the deed, gives it
// the next `sequence` and chains it: hash = SHA-256(previous hash | the entry's fields). Holds no secret.
struct AuditEntry {
  uint64_t sequence = 0;  // given by the store; 1 is the first
  absl::Time time;
  std::string actor;   // "uid 0 pid 812", "meshca" for the CA itself
  std::string action;  // noun.verb: "token.create", "authority.activate", "entry.delete"
  std::string target;  // what it was done to: a SPIFFE ID, an authority, a token id
  std::string detail;  // free text for people; "" where the rest says it all
  std::string hash;    // 32 bytes, given by the store
};

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_AUDIT_ENTRY_H_
