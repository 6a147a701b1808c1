// SDS resources, made once and shared by every stream that sends them.
#ifndef MESHCA_SDS_SECRET_SNAPSHOT_H_
#define MESHCA_SDS_SECRET_SNAPSHOT_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/mutex.h"
#include "ca/base/secret.h"
#include "ca/rpc/payload.h"
#include "ca/spiffe/spiffe_id.h"
#include "ca/subscribers/trust_version.h"
#include "sds/discovery_response.h"
#include "sds/secret_name.h"
#include "sds/trust_source.h"

namespace meshca::sds {

class SecretSnapshot;

// What a secret says, before it has a name: the bytes of Secret.tls_certificate or Secret.validation_context, and what
// an acknowledgement of them proves. Immutable; a private key in it is wiped with it. Thread-safe.
class SecretContent : public std::enable_shared_from_this<SecretContent> {
 public:
  using Ptr = std::shared_ptr<const SecretContent>;

  // An X.509-SVID. `generation` orders the certificates that one instance was given for one identity: a later one is
  // greater.
  struct Identity {
    SpiffeId id;
    std::string serial;        // hex
    std::string authority_id;  // Svid::authority_id
    absl::Time not_after;
    uint64_t generation = 0;
    absl::Time not_before = absl::InfinitePast();
  };
  static Ptr OfIdentity(Identity identity, const SecretBytes& key_pem, absl::string_view chain_pem);
  // The roots of one trust domain, as they stand in the trust with this version.
  static Ptr OfBundle(const DomainTrust& domain, TrustVersion version);
  // The roots of every trust domain, for Envoy's SPIFFE validator.
  static Ptr OfAllBundles(const Trust& trust);

  ~SecretContent();

  SecretKind kind() const { return kind_; }
  const Identity& identity() const { return identity_; }         // kIdentity
  TrustVersion trust_version() const { return trust_version_; }  // the other kinds: what an acknowledgement proves
  // Its certificate has ended: it is never sent.
  bool ExpiredAt(absl::Time now) const { return kind_ == SecretKind::kIdentity && identity_.not_after <= now; }
  // Its certificate has not begun: it was made while the clock was ahead.
  bool BeginsAfter(absl::Time now) const { return kind_ == SecretKind::kIdentity && now < identity_.not_before; }
  // The field of Secret as serialised, its tag included: tls_certificate or validation_context.
  absl::string_view body() const { return body_; }

  // This content under `name`. The same snapshot for everybody who asks for that name while somebody holds it; of many
  // different names at once only the first few are shared.
  std::shared_ptr<const SecretSnapshot> Named(absl::string_view name) const;

 private:
  SecretContent() = default;

  SecretKind kind_ = SecretKind::kBundle;
  Identity identity_;
  TrustVersion trust_version_ = 0;
  std::string body_;

  mutable Mutex mutex_;
  mutable std::vector<std::weak_ptr<const SecretSnapshot>> named_ ABSL_GUARDED_BY(mutex_);
};

// One resource: content under a name. `version` derives from both (SHA-256), so a restarted server never gives it to
// other bytes. Immutable; thread-safe.
//
// The responses that hold this resource alone, nonce included, are serialised once, however many streams send them:
// nonces are numbers that only grow within the process, so one response fits every stream whose last nonce is lower. A
// stream that is past it gets a response of its own (discovery_response.h).
class SecretSnapshot {
 public:
  SecretSnapshot(SecretContent::Ptr content, absl::string_view name);

  const SecretContent::Ptr& content() const { return content_; }
  const std::string& name() const { return name_; }
  const std::string& version() const { return version_; }

  // The response that holds this resource alone. That of a trust bundle is kept, because it goes to many streams. That
  // of an identity is shared only while somebody still writes it, and made anew then: it goes to few, and has a key in
  // it.
  NumberedResponse Alone(Protocol protocol) const;

 private:
  struct Kept {
    uint64_t nonce = 0;
    rpc::Payload strong;
    std::weak_ptr<const std::string> weak;
  };
  const SecretContent::Ptr content_;
  const std::string name_;
  const std::string version_;

  mutable Mutex mutex_;
  mutable Kept kept_[2] ABSL_GUARDED_BY(mutex_);  // by Protocol
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SECRET_SNAPSHOT_H_
