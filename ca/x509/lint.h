// The last look before a signature: does this TBSCertificate meet the X509-SVID standard and RFC 5280?
#ifndef MESHCA_CA_X509_LINT_H_
#define MESHCA_CA_X509_LINT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace meshca {

// Reads the DER of a leaf's TBSCertificate with a reader of its own, independent of the writer. Checks, among others:
// v3; serialNumber positive, minimal, at most 20 bytes; the algorithm known; times in the form their year demands,
// whole seconds, in order; exactly one URI name, a SPIFFE ID with a path; subjectAltName critical when the subject is
// empty; cA absent or false; keyUsage present, critical, with digitalSignature and without keyCertSign and cRLSign;
// both extended key usages; no extension twice; no unknown critical extension; nothing after the end.
// Internal (reason LINT): the rule that is broken, with its section.
absl::Status LintLeafTbs(absl::string_view tbs);

}  // namespace meshca

#endif  // MESHCA_CA_X509_LINT_H_
