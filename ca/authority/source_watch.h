// Follows the source of authorities: takes in a plugged-in set when its files change.
#ifndef MESHCA_CA_AUTHORITY_SOURCE_WATCH_H_
#define MESHCA_CA_AUTHORITY_SOURCE_WATCH_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_ledger.h"
#include "ca/authority/authority_source.h"
#include "ca/authority/set_adoption.h"

namespace meshca {

// A set is judged again at every look until it was taken: what a refused or held set waits for, a date or the end of a
// rotation, comes without a change of its files. One thread at a time.
class SourceWatch {
 public:
  // `ledger` and `adoption` outlive it. `folder` names the source in messages.
  SourceWatch(std::unique_ptr<AuthoritySource> source, std::string folder, const AuthorityLedger& ledger,
              SetAdoption& adoption)
      : source_(std::move(source)), folder_(std::move(folder)), ledger_(ledger), adoption_(adoption) {}

  // The set with which a trust domain begins, made active. Aborted: another server was first. The errors of the source.
  absl::Status AdoptFirst(absl::Time now);

  // Takes in what the source offers now, where it offers something else than what was taken last.
  void TakeChanges(absl::Time now);

  // Why the set that the source offers was refused or is held back; Ok: it was taken.
  const absl::Status& error() const { return error_; }

 private:
  absl::Status TakeSet(absl::Time now);

  const std::unique_ptr<AuthoritySource> source_;
  const std::string folder_;
  const AuthorityLedger& ledger_;
  SetAdoption& adoption_;
  std::string taken_fingerprint_;  // of the set last taken; "" where the last one was not
  absl::Status error_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SOURCE_WATCH_H_
