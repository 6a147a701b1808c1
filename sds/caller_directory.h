// Authenticates callers, recognises a holder after its certificate was renewed, and tells which instance a caller is.
#ifndef MESHCA_SDS_CALLER_DIRECTORY_H_
#define MESHCA_SDS_CALLER_DIRECTORY_H_

#include <array>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/authn/authenticator.h"
#include "ca/base/clock.h"
#include "ca/base/mutex.h"
#include "ca/base/serial_executor.h"
#include "ca/rpc/peer.h"
#include "ca/subscribers/subscriber_registry.h"
#include "sds/caller.h"
#include "sds/caller_certificates.h"

namespace meshca::sds {

// Thread-safe.
class CallerDirectory {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<const SdsCaller>>) &&>;

  struct Parts {
    Authenticator* authenticator = nullptr;  // for peer credentials and client certificates
    CallerCertificates* certificates = nullptr;
    const SubscriberRegistry* registry = nullptr;  // which instances are known
    const Clock* clock = nullptr;
    SerialExecutor* executor = nullptr;  // where CallerCertificates is asked, which may block
  };
  // Everything in `parts` lives until the last `done` has run.
  explicit CallerDirectory(Parts parts) : parts_(parts) {}

  // Judges the caller of a new stream or fetch. `node` is the node id of its first request. `done` runs once, on any
  // thread, perhaps before this returns. Errors: PeerCredentials', the authenticators', and of a TLS peer
  // CallerCertificates::Judge's.
  void Authenticate(std::shared_ptr<const rpc::Peer> peer, std::string node, Done done);

  // Asks the authenticator again what a caller that was let in before may have now. Its certificate is not judged by
  // CallerCertificates. `done` runs once, on any thread, perhaps before this returns.
  void JudgeAgain(const rpc::Peer& peer, Authenticator::Done done);

  // The instance that a stream or a fetch of `caller` with this node id belongs to. Fills the record's instance,
  // spiffe_id, node, kind, peer and process only. A caller without an identity of its own is recorded under `asked`,
  // the first SPIFFE ID that it asks for.
  SubscriberRecord InstanceOf(const SdsCaller& caller, Taking taking, absl::string_view node,
                              const SpiffeId& asked) const;

 private:
  // Returns the equal SdsCaller that an earlier stream of the same connection holds, else `caller` itself: hundreds of
  // streams of one connection then share one object.
  std::shared_ptr<const SdsCaller> Share(std::shared_ptr<const SdsCaller> caller);
  // Judges the client certificate of `caller`, a TLS peer, and fills in lineage and line. May block.
  absl::Status FollowCertificate(SdsCaller& caller, absl::string_view node);
  // SdsCaller::lineage of a caller that shows the certificate `serial`, which renewed `parent`. May block.
  std::string FindLineage(const SdsCaller& caller, const std::string& serial, std::string parent,
                          absl::string_view node);

  const Parts parts_;

  Mutex mutex_;
  // A small direct-mapped cache: the slot is the connection's number modulo its size, and holds the caller that came to
  // the slot last.
  std::array<std::weak_ptr<const SdsCaller>, 64> recent_callers_ ABSL_GUARDED_BY(mutex_);
  // From the serial of a renewed client certificate to its lineage. The next renewal finds its parent here in one step.
  absl::flat_hash_map<std::string, std::string> lineages_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_CALLER_DIRECTORY_H_
