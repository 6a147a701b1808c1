// Lets a set of authorities that came from outside, or the first one, take effect.
#ifndef MESHCA_CA_AUTHORITY_SET_ADOPTION_H_
#define MESHCA_CA_AUTHORITY_SET_ADOPTION_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/active_key.h"
#include "ca/authority/authority_change.h"
#include "ca/authority/authority_ledger.h"
#include "ca/authority/authority_maker.h"
#include "ca/authority/authority_source.h"

namespace meshca {

// Where the private key of a plugged-in set is to stay.
enum class KeyPlace {
  kWhereItIs,   // in its folder, which is read again at every start
  kInKeyStore,  // kept by the KeyStore: the folder may go away
};

// Each call judges on what the ledger holds and commits at most one change. One thread at a time.
class SetAdoption {
 public:
  // All outlive it.
  SetAdoption(AuthorityLedger& ledger, const AuthorityMaker& maker, ActiveKey& active_key)
      : ledger_(ledger), maker_(maker), active_key_(active_key) {}

  // Is `set` what is active already, with every one of its other roots trusted?
  bool IsActive(const AuthoritySet& set) const;

  // Takes out of `set` the other roots that were retired or tainted here: what a rotation took away does not come back
  // because a file still lists it. Returns the beginnings of their ids, for people; "" for none.
  std::string LeaveOutLostRoots(AuthoritySet& set) const;

  // Makes `set` the active authority at once. What was active grows old and stays trusted; with `drop_old_roots` it is
  // retired and leaves the bundle, so that is only for where nothing lives under it. FailedPrecondition: an authority
  // of the set is tainted.
  absl::Status Adopt(const AuthoritySet& set, KeyPlace place, bool drop_old_roots, const ChangeReason& reason);

  // Begins a rotation to the root of `set`, which stands in `folder`; the set's other roots are trusted at once. Ok and
  // nothing done: a rotation to it runs. FailedPrecondition: one to another root runs (ROOT_CHANGE_HELD); the root was
  // retired here (ROOT_RETIRED); an authority of the set is tainted.
  absl::Status RotateTo(const AuthoritySet& set, const std::string& folder, KeyPlace place, const ChangeReason& reason);

 private:
  absl::StatusOr<AuthorityRows> MakeRows(const AuthoritySet& set, KeyPlace place, absl::Time now) const;
  // Takes over what the store knows of `row` already: since when, and a key the set does not bring.
  absl::Status ContinueKnown(StoredAuthority& row) const;
  // The active issuing authority's row with its key in the KeyStore, where it stands in a folder whose files have
  // changed.
  absl::StatusOr<std::optional<StoredAuthority>> KeepIssuingKey() const;

  AuthorityLedger& ledger_;
  const AuthorityMaker& maker_;
  ActiveKey& active_key_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SET_ADOPTION_H_
