// Who asks for an identity, and how we know.
#ifndef MESHCA_CA_IDENTITY_CALLER_IDENTITY_H_
#define MESHCA_CA_IDENTITY_CALLER_IDENTITY_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/identity/origin.h"
#include "ca/identity/trusted_origins.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca {

// How a caller proved itself. The numbers are stored with every issuance: never reuse one.
enum class AuthMethod {
  kJoinToken = 1,
  kJwt = 2,
  kClientCertificate = 3,
  kUnixPeer = 4,        // registration entry matched by peer credentials
  kServerUser = 5,      // an operator on the admin socket; in records of older versions the server's user on any socket
  kAgent = 6,           // a node's agent, for a workload on its node
  kNodeKey = 7,         // a node's agent whose certificate has ended, by the key of that certificate
  kServiceAccount = 8,  // the token of a Kubernetes service account
  kPodCertificate = 9,  // a node's kubelet, for a pod on it, by a PodCertificateRequest
  kSigningRequest = 10,  // a user of a Kubernetes cluster, by a CertificateSigningRequest
};

// "join-token", "jwt", "client-certificate", "unix-peer", "server-user", "agent", "node-key", "service-account",
// "pod-certificate", "certificate-signing-request": for records, logs and metrics.
absl::string_view AuthMethodName(AuthMethod method);

// What goes with one of a caller's identities and with no other.
struct IdentityRights {
  SpiffeId id;
  std::vector<std::string> dns_names;
  absl::Duration lifetime_max;  // zero: the profile's
  Origin origin = {};           // what gives the caller this identity
  // How a process that has several tells this one from the others (SPIFFE Workload API §5.2.1); "": it has no hint.
  std::string hint = {};
  absl::Duration jwt_ttl = absl::ZeroDuration();  // the longest life of a JWT-SVID for it; zero: the default

  friend bool operator==(const IdentityRights&, const IdentityRights&) = default;
};

// A client certificate that a caller showed, as the inventory is asked about it. The handshake proved its path and the
// possession of its key; that this CA issued it only the inventory can say, because whoever stole an authority's key
// makes certificates, but no records.
struct PresentedCertificate {
  std::string serial;  // hex
  std::string sha256;  // 32 bytes, of the DER certificate
  SpiffeId spiffe_id;
  // It may be missing from the inventory: the authority that signed it stood before a restore or an adoption, and none
  // on its path is tainted. A serial number that is on record for another certificate is refused all the same.
  bool may_be_unrecorded = false;
  // Where it may: the authorities on its verified path. The store judges them again in its own transaction, because one
  // may have been tainted since the caller was authenticated.
  std::vector<std::string> authority_ids = {};

  friend bool operator==(const PresentedCertificate&, const PresentedCertificate&) = default;
};

// A key of a node's agent whose possession was proved, as the inventory is asked about it: it has to be the key of the
// newest certificate that the node's agent was given, and that certificate must have ended no longer ago than `grace`.
struct ProvenNodeKey {
  std::string sha256;  // 32 bytes, of the SubjectPublicKeyInfo
  absl::Duration grace;

  friend bool operator==(const ProvenNodeKey&, const ProvenNodeKey&) = default;
};

// One authenticated caller and what it may have. Made only by an authenticator (ca/authn); holds no secret.
struct CallerIdentity {
  AuthMethod method = AuthMethod::kJoinToken;

  // Who, for people and the record: `jwt https://issuer.test sub=web`, `token 5f0c...`, `uid 1000`, `certificate of
  // spiffe://...`. The same at its next renewal: the store keeps one row for each and rates are counted by it. Which
  // process or certificate it was this time say `instance` and `parent_serial`.
  std::string subject;

  // The identities the caller may hold; the first is the one it gets when it names none.
  std::vector<SpiffeId> ids;
  // May hold any non-reserved ID of the trust domain: an operator, on the admin socket.
  bool any_id_of_trust_domain = false;

  // DNS names, lower-case, that the caller may have in a certificate for any of its identities; `*` alone stands for
  // any.
  std::vector<std::string> dns_names;

  // What one identity has beside these: the DNS names and the ttl of its registration entries. An ID once at most.
  std::vector<IdentityRights> rights;

  // The subscriber instance and node the certificate will belong to; "" where unknown.
  std::string instance;
  std::string node;

  // kClientCertificate: the serial number (hex) of the certificate being renewed. Makes it a renewal: served first.
  // kAgent: that of the workload's certificate being replaced; "" for a first one.
  // kNodeKey: that of the agent's certificate that has ended.
  std::string parent_serial;

  // What gives the caller those of its identities that are not among `rights`. A renewal's stays empty: it has that of
  // the certificate it renews, which the store knows.
  Origin origin;

  // kClientCertificate: what the caller showed. The store issues nothing for it unless the inventory holds this very
  // certificate, for the same ID, not revoked, and what gave the right is still there.
  // kAgent: the agent's own certificate; `node` is the agent's node, and the origin of `rights` the entry that gives
  // the workload its identity. The store judges all three (IssuanceStore::Append).
  std::optional<PresentedCertificate> presented;
  // kClientCertificate: the JWT issuers that are configured now, and the judge of pods; a renewal whose right came from
  // another issuer, or from a pod that is gone, is refused. Null: none is judged by these.
  std::shared_ptr<const TrustedOrigins> trusted_origins;

  // kNodeKey: what the caller proved. The store judges it again in the transaction that records the issuance.
  std::optional<ProvenNodeKey> node_key;

  // kJoinToken: the token (by its public id) to redeem in the same transaction as the issuance.
  std::string token_id;

  // When the proof itself ends; InfiniteFuture where it does not.
  absl::Time proof_expires = absl::InfiniteFuture();

  friend bool operator==(const CallerIdentity&, const CallerIdentity&) = default;

  bool IsRenewal() const { return !parent_serial.empty(); }
  // May this caller hold `id`? Reserved IDs (/meshca/...) only when listed by name.
  bool MayHold(const SpiffeId& id) const;
  // In a certificate for `id`.
  bool MayHaveDnsName(const SpiffeId& id, absl::string_view name) const;
  // The longest lifetime of a certificate for `id`; zero: the profile's.
  absl::Duration LifetimeMax(const SpiffeId& id) const;
  // What gives this caller `id`.
  const Origin& OriginOf(const SpiffeId& id) const;
  // IdentityRights::hint and ::jwt_ttl; "" and zero where it has none.
  absl::string_view HintOf(const SpiffeId& id) const;
  absl::Duration JwtTtlMax(const SpiffeId& id) const;

 private:
  const IdentityRights* RightsOf(const SpiffeId& id) const;
};

}  // namespace meshca

#endif  // MESHCA_CA_IDENTITY_CALLER_IDENTITY_H_
