#include "storage/recovered_trust.h"

#include <cstdint>

#include "ca/authority/authority_change.h"
#include "ca/authority/settings.h"
#include "ca/base/status.h"
#include "storage/setting_rules.h"
#include "storage/trust_rules.h"

namespace meshca::storage {
namespace {

// A rotation goes on where the backup knew it to be. What subscribers acknowledged until then proves nothing of what
// the lost database published later, so its evidence starts anew: the bundle that all of them must hold is the restored
// one.
RootRotation AfterRestore(RootRotation rotation, uint64_t restored_bundle) {
  if (rotation.retire_sequence != 0) {
    rotation.retire_sequence = restored_bundle;
  } else if (rotation.bundle_sequence != 0) {
    rotation.bundle_sequence = restored_bundle;
  }
  return rotation;
}

}  // namespace

absl::Status MarkRecovered(Tables& tables, const KeyEncryption& keys, absl::Time now, const AuditEntry& audit) {
  MESHCA_ASSIGN_OR_RETURN(const AuthoritiesAndBundle trust, LoadTrust(tables, keys));
  AuthorityChange change;
  change.expected_revision = trust.revision;
  change.trust_domain = trust.trust_domain;
  if (trust.bundle) {
    // Subscribers ignore a bundle whose number does not grow, and the lost database may have published any.
    change.bundle = *trust.bundle;
    change.bundle->sequence_number = SequenceAfterRestore(trust, now);
    change.bundle->published_at = now;
    if (trust.rotation && !trust.rotation->Ended()) {
      change.rotation = AfterRestore(*trust.rotation, change.bundle->sequence_number);
    }
  }
  change.audit = {audit};
  MESHCA_RETURN_IF_ERROR(ApplyAuthorityChange(tables, keys, change).status());
  // The backup does not know which of its tokens were redeemed since.
  MESHCA_RETURN_IF_ERROR(tables.tokens.DeleteAll());
  return PutSealedSetting(tables, keys, kSettingRecovered, "1");
}

}  // namespace meshca::storage
