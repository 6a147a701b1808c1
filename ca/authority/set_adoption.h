// Lets a set of authorities take effect: the first one of a trust domain, or one that was plugged in or imported.
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

// Where the private key of a set that came as files is to be kept.
enum class KeyPlace {
  kWhereItIs,   // in its folder, which is read again at every start
  kInKeyStore,  // in the KeyStore, so that the folder may be removed
};

// Each call goes by what the ledger holds and commits at most one change. One thread at a time. Errors of Adopt and
// RotateTo also: Aborted (another server's change came first: reload the ledger and call again), and the store's.
class SetAdoption {
 public:
  // All references outlive this object.
  SetAdoption(AuthorityLedger& ledger, const AuthorityMaker& maker, ActiveKey& active_key)
      : ledger_(ledger), maker_(maker), active_key_(active_key) {}

  // Whether `set` is active already and all its other roots are trusted.
  bool IsActive(const AuthoritySet& set) const;

  // Removes from `set` those of its other roots that were retired or tainted here: they must not come back because a
  // file still lists them. Returns the beginnings of their ids, for people; "": there were none.
  std::string LeaveOutLostRoots(AuthoritySet& set) const;

  // Makes `set` active at once. The first set of a trust domain brings the first key of JWT-SVIDs with it. What was
  // active becomes old and stays trusted. FailedPrecondition: the set's root was retired here (ROOT_RETIRED), or an
  // authority of the set is tainted.
  absl::Status Adopt(const AuthoritySet& set, KeyPlace place, const ChangeReason& reason);

  // The same, but what was active is retired and leaves the bundle in the same commit, with all other roots. For a set
  // with a new root. FailedPrecondition (LEAVES_LIVE), and nothing is changed: a certificate is alive that does not
  // chain to that root and whose SPIFFE ID is not `own_spiffe_id`.
  absl::Status AdoptAlone(const AuthoritySet& set, KeyPlace place, const std::string& own_spiffe_id,
                          const ChangeReason& reason);

  // Begins a rotation to the root of `set`, which came from `folder`; the set's other roots are trusted at once. Ok
  // without doing anything if a rotation to that root runs. FailedPrecondition: a rotation to another root runs
  // (ROOT_CHANGE_HELD); the root was retired here (ROOT_RETIRED); an authority of the set is tainted.
  absl::Status RotateTo(const AuthoritySet& set, const std::string& folder, KeyPlace place, const ChangeReason& reason);

 private:
  absl::Status CommitRows(const AuthoritySet& set, AuthorityRows rows, std::optional<LiveLeafLimit> drop_old_roots,
                          const ChangeReason& reason);
  absl::StatusOr<AuthorityRows> MakeRows(const AuthoritySet& set, KeyPlace place, absl::Time now) const;
  // If the store has a row of this authority, takes over its created_at, whether it was exported, and its
  // key if the set brings none.
  absl::Status ContinueKnown(StoredAuthority& row) const;
  // The row of the active issuing authority with its key moved into the KeyStore, for a key that was in a folder whose
  // files have changed. nullopt: its key is in the KeyStore already, or is not open.
  absl::StatusOr<std::optional<StoredAuthority>> KeepIssuingKey() const;

  AuthorityLedger& ledger_;
  const AuthorityMaker& maker_;
  ActiveKey& active_key_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SET_ADOPTION_H_
