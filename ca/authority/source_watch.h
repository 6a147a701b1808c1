// Watches an AuthoritySource: takes in a plugged-in set when its files change.
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

// A set that was refused, or is held back until a rotation ends, is tried again at every call: what it waits for (a
// date, the end of the rotation) comes without a change of its files. One thread at a time.
class SourceWatch {
 public:
  // `ledger` and `adoption` outlive this object. `folder` names the source in messages.
  SourceWatch(std::unique_ptr<AuthoritySource> source, std::string folder, const AuthorityLedger& ledger,
              SetAdoption& adoption)
      : source_(std::move(source)), folder_(std::move(folder)), ledger_(ledger), adoption_(adoption) {}

  // Makes the source's set the first active one of a new trust domain. Aborted: another server was first. Other errors:
  // the source's and SetAdoption::Adopt's.
  absl::Status AdoptFirst(absl::Time now);

  // Takes in what the source offers now, if that is not what was taken last. error() says how it went.
  void TakeChanges(absl::Time now);

  // Why the set that the source offers was refused or is held back; Ok: it was taken.
  const absl::Status& error() const { return error_; }

 private:
  absl::Status TakeSet(absl::Time now);

  const std::unique_ptr<AuthoritySource> source_;
  const std::string folder_;
  const AuthorityLedger& ledger_;
  SetAdoption& adoption_;
  std::string taken_fingerprint_;  // of the set that was taken last; "": the last one was refused or held
  absl::Status error_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SOURCE_WATCH_H_
