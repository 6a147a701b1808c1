// All storage interfaces of the CA as one class. RowStore implements it above any database.
#ifndef MESHCA_STORAGE_STORE_H_
#define MESHCA_STORAGE_STORE_H_

#include "ca/authority/authority_store.h"
#include "ca/authority/leaf_inventory.h"
#include "ca/identity/entry_apply_store.h"
#include "ca/identity/entry_store.h"
#include "ca/identity/node_store.h"
#include "ca/identity/token_store.h"
#include "ca/issuance/issuance_store.h"
#include "ca/issuance/revocation_store.h"
#include "ca/issuance/store_maintenance.h"
#include "ca/subscribers/subscriber_store.h"

namespace meshca::storage {

// One database behind the interfaces that ca/ declares; each user is given the interface that it needs. Thread-safe.
// Must outlive everything that holds one of the interfaces: the destructor writes what is queued and answers later
// writes Unavailable. `test/storage/conformance.h` is the contract: a test that every implementation passes.
class Store : public IssuanceStore,
              public RevocationStore,
              public StoreMaintenance,
              public AuthorityStore,
              public LeafInventory,
              public SubscriberStore,
              public TokenStore,
              public EntryStore,
              public EntryApplyStore,
              public NodeStore {};

// Reasons of the Unauthenticated status of IssuanceStore::Append: the join token is unknown, expired or used.
inline constexpr char kTokenUnknown[] = "TOKEN_UNKNOWN";
inline constexpr char kTokenExpired[] = "TOKEN_EXPIRED";
inline constexpr char kTokenUsed[] = "TOKEN_USED";

// Reason of the PermissionDenied of Append: the registration entry that gave the right was deleted meanwhile.
inline constexpr char kEntryGone[] = "ENTRY_GONE";

// Reasons of the errors of IssuanceStore::JudgePresented and of Append.
inline constexpr char kCertificateNotRecorded[] = "CERTIFICATE_NOT_RECORDED";
inline constexpr char kCertificateRevoked[] = "CERTIFICATE_REVOKED";
inline constexpr char kCertificateOriginGone[] = "CERTIFICATE_ORIGIN_GONE";
inline constexpr char kCertificatePublished[] = "CERTIFICATE_PUBLISHED";
inline constexpr char kKeyRevoked[] = "KEY_REVOKED";

// Reasons that concern nodes and their agents, beside kNodeBanned (node_store.h); issuance_store.h and node_store.h say
// which call answers which.
inline constexpr char kNodeLives[] = "NODE_LIVES";
inline constexpr char kNodeReplaced[] = "NODE_REPLACED";
inline constexpr char kNodeUnknown[] = "NODE_UNKNOWN";
inline constexpr char kAgentIdNotAllowed[] = "AGENT_ID_NOT_ALLOWED";

absl::Status CertificateNotRecorded(const PresentedCertificate& shown);

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_STORE_H_
