// What somebody asks the CA for.
#ifndef MESHCA_CA_ISSUANCE_ISSUANCE_REQUEST_H_
#define MESHCA_CA_ISSUANCE_ISSUANCE_REQUEST_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/identity/caller_identity.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/csr.h"
#include "ca/x509/public_key.h"

namespace meshca {

class RequestPolicy;

// As it arrives at the pipeline: an authenticated caller and unread bytes.
struct SubmittedRequest {
  CallerIdentity caller;
  // The cluster that the caller says it is in (ClaimedClusters), for the record alone; "" where it says nothing.
  std::string claimed_cluster;
  // PEM or DER; "" when `public_key` is given.
  std::string csr;
  // Of the CSR its public key is taken, once it has proved possession, and nothing else: the names that it asks for are
  // neither given nor refused.
  bool csr_key_alone = false;
  // A key the CA made itself (SDS without an agent), so there is nothing to prove. Empty when `csr` is given.
  PublicKey public_key;
  // The ID wanted; empty: the one the CSR names, else the caller's first.
  SpiffeId spiffe_id;
  // Wanted beside those the CSR asks for.
  std::vector<std::string> dns_names;
  // Zero: the default.
  absl::Duration lifetime;
  // A renewal (CallerIdentity::IsRenewal) that goes with the first ones and not before them: that it is one is the
  // caller's word, and others must not wait for it.
  bool with_first_ones = false;
};

// Judged: the caller may hold this identity and these names, and has proved possession of the key.
struct IssuanceRequest {
  CallerIdentity caller;
  std::string claimed_cluster;
  SpiffeId spiffe_id;
  std::vector<std::string> dns_names;
  PublicKey public_key;
  absl::Duration lifetime;      // zero: the default
  absl::Duration lifetime_max;  // of this ID, by the caller's rights and the rules; zero: the profile's
};

// Reads the CSR and judges it against the caller's rights and the CA's own trust domain.
//
// InvalidArgument: the CSR's reasons (csr.h), CSR_ASKS_FOR_CA, CSR_URI_NAMES (several URI names), SPIFFE_ID_INVALID,
// DNS_NAME_INVALID.
// PermissionDenied, naming the name: SPIFFE_ID_NOT_ALLOWED (also: another trust domain), DNS_NAME_NOT_ALLOWED,
// NAME_NOT_ALLOWED (an IP address, e-mail address or other name: nobody may have those), NO_IDENTITY (the caller may
// hold none, or names none of many). And `policy`'s, where there is one.
absl::StatusOr<IssuanceRequest> JudgeRequest(SubmittedRequest submitted, const TrustDomain& domain,
                                             RequestPolicy* policy = nullptr);

}  // namespace meshca

#endif  // MESHCA_CA_ISSUANCE_ISSUANCE_REQUEST_H_
