// Publishes what signs now and what is trusted now to every thread of the process.
#ifndef MESHCA_CA_AUTHORITY_SNAPSHOT_PUBLISHER_H_
#define MESHCA_CA_AUTHORITY_SNAPSHOT_PUBLISHER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "ca/authority/authority_snapshot.h"
#include "ca/authority/authority_store.h"
#include "ca/base/mutex.h"
#include "ca/spiffe/trust_domain.h"
#include "ca/x509/signing_key.h"

namespace meshca {

// Thread-safe; Publish is called by one thread at a time. Readers hold a lock for the copy of a pointer and no longer.
class SnapshotPublisher final : public AuthoritySnapshots {
 public:
  explicit SnapshotPublisher(TrustDomain trust_domain);

  std::shared_ptr<const AuthoritySnapshot> Current() const override;
  void AddListener(Listener listener) override;

  // Why nothing signs while the newest snapshot has no issuing authority, for people; "" when something signs.
  std::string WhyNotSigning() const;

  // What signs. `issuing_id` and `key` are both there, or neither is and `why_not` says why.
  struct Signer {
    std::string issuing_id;
    std::shared_ptr<const SigningKey> key;
    std::string why_not;
  };
  // Makes a snapshot of `state` and hands it to the listeners on this thread, unless it would say what the newest one
  // says. DataLoss: BuildSnapshot's. Internal: its bundle may not follow the newest (CheckFollows). Either way the
  // newest snapshot stays.
  absl::Status Publish(const AuthoritiesAndBundle& state, const Signer& signer, std::optional<UnrecordedGrace> grace);

 private:
  const TrustDomain trust_domain_;
  mutable Mutex mutex_;
  std::shared_ptr<const AuthoritySnapshot> current_ ABSL_GUARDED_BY(mutex_);
  std::vector<Listener> listeners_ ABSL_GUARDED_BY(mutex_);
  std::string why_not_signing_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SNAPSHOT_PUBLISHER_H_
