// SDS resources (secrets) in serialised form, made once and shared by every stream that sends them.
#ifndef MESHCA_SDS_SECRET_SNAPSHOT_H_
#define MESHCA_SDS_SECRET_SNAPSHOT_H_

#include <cstddef>
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

// The content of a secret without its name: the bytes of Secret.tls_certificate or Secret.validation_context, and what
// an acknowledgement of them proves. Immutable; a private key in it is wiped by the destructor. Thread-safe.
class SecretContent : public std::enable_shared_from_this<SecretContent> {
 public:
  using Ptr = std::shared_ptr<const SecretContent>;

  // Facts about an X.509-SVID. `generation` orders the certificates that one instance was given for one identity: a
  // later certificate has a greater number.
  struct Identity {
    SpiffeId id;
    std::string serial;        // hex
    std::string authority_id;  // Svid::authority_id
    absl::Time not_after;
    uint64_t generation = 0;
    absl::Time not_before = absl::InfinitePast();
  };
  static Ptr OfIdentity(Identity identity, const SecretBytes& key_pem, absl::string_view chain_pem);
  // The roots of one trust domain, taken from the Trust with this version.
  static Ptr OfBundle(const DomainTrust& domain, TrustVersion version);
  // The roots of every trust domain, for Envoy's SPIFFE validator.
  static Ptr OfAllBundles(const Trust& trust);

  ~SecretContent();

  SecretKind kind() const { return kind_; }
  const Identity& identity() const { return identity_; }         // for kIdentity
  TrustVersion trust_version() const { return trust_version_; }  // for the other kinds: what an acknowledgement proves
  // Whether its certificate has ended. Such content is never sent.
  bool ExpiredAt(absl::Time now) const { return kind_ == SecretKind::kIdentity && identity_.not_after <= now; }
  // Whether its certificate has not begun: it was made while the clock was ahead.
  bool BeginsAfter(absl::Time now) const { return kind_ == SecretKind::kIdentity && now < identity_.not_before; }
  // The serialised field of Secret, its tag included: tls_certificate or validation_context.
  absl::string_view body() const { return body_; }
  // For kIdentity: the two parts of the body, PEM; the key is PKCS#8. Valid as long as the content.
  absl::string_view chain_pem() const { return absl::string_view(body_).substr(chain_at_, chain_bytes_); }
  absl::string_view key_pem() const { return absl::string_view(body_).substr(body_.size() - key_bytes_); }

  // This content under `name`. While somebody holds the snapshot of a name, everybody who asks for that name gets the
  // same one; beyond 16 names at once each call makes a new one.
  std::shared_ptr<const SecretSnapshot> Named(absl::string_view name) const;

 private:
  SecretContent() = default;

  SecretKind kind_ = SecretKind::kBundle;
  Identity identity_;
  TrustVersion trust_version_ = 0;
  std::string body_;
  size_t chain_at_ = 0;  // where the chain begins in body_; the key ends it
  size_t chain_bytes_ = 0;
  size_t key_bytes_ = 0;

  mutable Mutex mutex_;
  mutable std::vector<std::weak_ptr<const SecretSnapshot>> named_ ABSL_GUARDED_BY(mutex_);
};

// One SDS resource: content under a name. `version` is a hash of both (SHA-256), so the same version means the same
// bytes, after a restart too. Immutable; thread-safe.
//
// The response that holds only this resource is serialised once, with its nonce, however many streams send it. Nonces
// are numbers that only grow within the process, so that response fits every stream whose last nonce is lower. A stream
// whose last nonce is not lower gets a response of its own (discovery_response.h).
class SecretSnapshot {
 public:
  SecretSnapshot(SecretContent::Ptr content, absl::string_view name);

  const SecretContent::Ptr& content() const { return content_; }
  const std::string& name() const { return name_; }
  const std::string& version() const { return version_; }

  // The response that holds only this resource. The response of a trust bundle is kept, because it goes to many
  // streams. The response of an identity is not kept here, because it holds a private key and goes to few streams: it
  // is shared only while some stream is still writing it.
  NumberedResponse Alone(Protocol protocol) const;

 private:
  struct Kept {
    uint64_t nonce = 0;
    rpc::Payload strong;                    // of a bundle
    std::weak_ptr<const std::string> weak;  // of an identity
  };
  const SecretContent::Ptr content_;
  const std::string name_;
  const std::string version_;

  mutable Mutex mutex_;
  mutable Kept kept_[2] ABSL_GUARDED_BY(mutex_);  // indexed by Protocol
};

}  // namespace meshca::sds

#endif  // MESHCA_SDS_SECRET_SNAPSHOT_H_
