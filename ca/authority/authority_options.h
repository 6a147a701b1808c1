// The operator's configuration for the authorities of one trust domain, and the options of an import.
#ifndef MESHCA_CA_AUTHORITY_AUTHORITY_OPTIONS_H_
#define MESHCA_CA_AUTHORITY_AUTHORITY_OPTIONS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/public_key.h"

namespace meshca {

struct AuthorityOptions {
  TrustDomain trust_domain;
  KeyType key_type = KeyType::kEcP256;
  absl::Duration root_lifetime = absl::Hours(24 * 3650);
  absl::Duration issuing_lifetime = absl::Hours(24 * 30);
  // The longest lifetime that the certificate profile allows a leaf. issuing_lifetime is at least twice as long.
  absl::Duration leaf_lifetime_max = absl::Hours(24 * 7);
  // A CA that was made elsewhere: the folder with its files, in one of the layouts of plugged_in_ca.h. "": meshca makes
  // its own root.
  std::string plugged_in_folder;
  // How often that folder is read again.
  absl::Duration plugged_in_poll = absl::Seconds(10);
  // A new trust domain is refused while the machine's clock is before this time: certificates with a wrong date would
  // be useless once the clock is right. The server gives the date of its own source code.
  absl::Time earliest_first_start = absl::InfinitePast();
};

// The CA's own TLS certificates that are alive. It replaces them itself, so none of them is a reason to keep a root.
struct OwnLeaves {
  std::string spiffe_id;                         // of all of them; "": there are none
  std::map<std::string, uint64_t> by_authority;  // how many, by the id of the authority that signed them
};

// Options of `meshca root import`.
struct ImportOptions {
  // Change over at once although certificates under the present root are alive: connections of their holders may fail.
  bool force = false;
  // Certificates that the imported authority signed, and that this CA has no record of, may be renewed during one
  // longest leaf lifetime (unrecorded_grace.h).
  bool renew_unrecorded = false;
  OwnLeaves own_leaves = {};
};

// Checks that each authority outlives whatever it signs, however late it signs it. InvalidArgument: there is no trust
// domain, or two lifetimes do not fit each other (reason LIFETIME_INVALID; the message names both).
absl::Status CheckAuthorityOptions(const AuthorityOptions& options);

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_AUTHORITY_OPTIONS_H_
