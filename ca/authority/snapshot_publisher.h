// Makes AuthoritySnapshots and gives the newest one to every thread of the process.
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

namespace meshca {

// Thread-safe; Publish is called by one thread at a time. Readers hold a lock only while they copy a pointer.
class SnapshotPublisher final : public AuthoritySnapshots {
 public:
  explicit SnapshotPublisher(TrustDomain trust_domain);

  std::shared_ptr<const AuthoritySnapshot> Current() const override;
  void AddListener(Listener listener) override;

  // Why nothing signs while the newest snapshot has no issuing authority, for people; "" when something signs.
  std::string WhyNotSigning() const;

  // Makes a snapshot of `state` and gives it to the listeners on this thread, unless it would equal the newest one.
  // DataLoss: see BuildSnapshot. Internal: its bundle may not follow the newest one (CheckFollows). After an error the
  // newest snapshot stays what it was.
  absl::Status Publish(const AuthoritiesAndBundle& state, const Signers& signers, std::optional<UnrecordedGrace> grace);

 private:
  const TrustDomain trust_domain_;
  mutable Mutex mutex_;
  std::shared_ptr<const AuthoritySnapshot> current_ ABSL_GUARDED_BY(mutex_);
  std::vector<Listener> listeners_ ABSL_GUARDED_BY(mutex_);
  std::string why_not_signing_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SNAPSHOT_PUBLISHER_H_
