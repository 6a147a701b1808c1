// The name under which a server contends for a Lease.
#ifndef MESHCA_CLI_SERVER_LEASE_IDENTITY_H_
#define MESHCA_CLI_SERVER_LEASE_IDENTITY_H_

#include <string>

#include "absl/strings/string_view.h"
#include "ca/base/clock.h"
#include "ca/base/entropy.h"
#include "ca/kubernetes/lease_contest.h"

namespace meshca::cli {

// A server that was killed and started again on its database has the same identity, so it takes its Lease back at once.
// That is safe because nobody else can have it while the first process lives: the identity is made of this boot of this
// kernel and of the file `lock_file`, which is locked by one process at a time and is another file in every copy of the
// database. A server that comes to another machine, or whose machine was restarted, has to wait until the Lease has run
// out, unless it was given back. `prefix` stands before it, for people: "meshca-system/meshca-0".
// Where boot or file cannot be known, it is another identity at each start.
kubernetes::LeaseTerms LeaseTermsOf(absl::string_view prefix, const std::string& lock_file, const Clock& clock,
                                    EntropySource& entropy);

// The host's name, in a pod the pod's; with `namespace_name` in front where that is not "".
std::string LeasePrefix(absl::string_view namespace_name);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_LEASE_IDENTITY_H_
