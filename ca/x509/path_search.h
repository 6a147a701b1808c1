// Which certificates of a chain may stand above each other, by what they say of themselves. For ca/x509 alone.
#ifndef MESHCA_CA_X509_PATH_SEARCH_H_
#define MESHCA_CA_X509_PATH_SEARCH_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "ca/x509/certificate.h"
#include "ca/x509/chain_verifier.h"

namespace meshca {

// Looks for a path from the leaf to a root by names, key identifiers, dates, pathLenConstraint and the rest of RFC 5280
// §6, depth first, each certificate used once. No signature is checked and no key is looked at: whoever finds a
// signature that does not fit forbids that step and asks for the next path. All searching together is bounded, whatever
// the names.
class PathSearch {
 public:
  // The first `presented` of `certificates` are the peer's, its leaf in front; the others are roots. All outlive the
  // search.
  PathSearch(std::vector<const CertificateFields*> certificates, size_t presented, absl::Time now, PeerRole role);

  // Places in `certificates`, the leaf first, a root last, at most ChainVerifier::kChainMax of them. Nothing: there is
  // no (other) path.
  std::optional<std::vector<size_t>> Next();

  // No path takes this step, or leads through this certificate, again. `why` is what the peer is told where no other
  // path is found.
  void ForbidStep(size_t child, size_t issuer, absl::Status why);
  void Forbid(size_t authority, absl::Status why);

  // The first reason against a step that the names allowed; Ok where no step was.
  const absl::Status& why() const { return why_; }

 private:
  void FindLeads();
  bool Extend();
  bool MayStandAbove(size_t issuer);
  bool MayIssue(size_t authority);
  int AuthoritiesBelow() const;
  bool IsOnPath(size_t certificate) const;
  void Note(absl::Status why);

  enum class Step : char { kNoName, kOtherKeyId, kFits };

  const std::vector<const CertificateFields*> certificates_;
  const size_t presented_;
  const absl::Time now_;
  const PeerRole role_;
  std::vector<std::vector<Step>> steps_;        // [child][issuer]
  std::vector<bool> leads_to_root_;             // by names
  std::vector<std::optional<bool>> may_issue_;  // nothing: not judged yet
  std::vector<size_t> path_;
  int tried_ = 0;
  absl::Status why_;
};

}  // namespace meshca

#endif  // MESHCA_CA_X509_PATH_SEARCH_H_
