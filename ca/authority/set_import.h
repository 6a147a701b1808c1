// Carries out `meshca root import`: an authority that was made elsewhere begins to sign here.
#ifndef MESHCA_CA_AUTHORITY_SET_IMPORT_H_
#define MESHCA_CA_AUTHORITY_SET_IMPORT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authority/authority_ledger.h"
#include "ca/authority/authority_options.h"
#include "ca/authority/clock_watch.h"
#include "ca/authority/grace_keeper.h"
#include "ca/authority/set_adoption.h"
#include "ca/authority/set_files.h"

namespace meshca {

// One thread at a time.
class SetImport {
 public:
  // All references outlive this object.
  SetImport(AuthorityLedger& ledger, SetAdoption& adoption, GraceKeeper& grace, const ClockWatch& clock)
      : ledger_(ledger), adoption_(adoption), grace_(grace), clock_(clock) {}

  // Takes in the set of `files`; its key goes into the KeyStore. Ok without doing anything if the set is active
  // already or the running rotation leads to its root. Otherwise:
  //   same root, or nothing lives under the present one         active at once
  //   a new root while certificates are, or may be, alive       a rotation begins: the new root is trusted beside the
  //                                                             present one first, and signs once everybody holds it
  //   the same, with `force`                                    active at once; the present root stays trusted
  // Errors: LoadPluggedInSet's, which name file and fault. FailedPrecondition: a rotation to another root runs
  // (ROTATION_RUNS); the set's root was retired here (ROOT_RETIRED) or is tainted; a new root, and the clock cannot be
  // believed (CLOCK_UNSTEADY).
  absl::Status Import(const SetFiles& files, const std::string& actor, const ImportOptions& options);

 private:
  // Decides by what the ledger holds, and commits the change.
  absl::Status TakeSet(const AuthoritySet& set, const std::string& place, const std::string& actor,
                       const ImportOptions& options, absl::Time now);
  // How many live certificates do not chain to `root_id`, exported issuing authorities among them; the CA's own TLS
  // certificates are left out.
  absl::StatusOr<uint64_t> CountOutside(absl::string_view root_id, const OwnLeaves& own, absl::Time now) const;

  // Whether certificates that do not chain to `root_id` may be alive without a record: those of before a restore, and
  // those that an adopted authority signed elsewhere and that may renew here (UnrecordedGrace).
  absl::StatusOr<bool> MayLiveUnrecordedOutside(absl::string_view root_id, absl::Time now) const;

  AuthorityLedger& ledger_;
  SetAdoption& adoption_;
  GraceKeeper& grace_;
  const ClockWatch& clock_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SET_IMPORT_H_
