// The authenticators of one listener, in order.
#ifndef MESHCA_CA_AUTHN_AUTHENTICATOR_CHAIN_H_
#define MESHCA_CA_AUTHN_AUTHENTICATOR_CHAIN_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/authn/authenticator.h"
#include "ca/base/mutex.h"

namespace meshca {

// The first that recognises the credential decides, whatever the ones after it would say: a bad token beside a good
// client certificate is a bad token. Thread-safe.
//
// Unauthenticated: CREDENTIAL_MISSING (nothing was sent) or CREDENTIAL_UNRECOGNISED (nobody knows its kind), both with
// the list of what is accepted here.
class AuthenticatorChain final : public Authenticator {
 public:
  using List = std::vector<std::shared_ptr<Authenticator>>;

  explicit AuthenticatorChain(List authenticators);

  // A reload: from now on these. Those replaced live until the next Replace or the chain's end, because a call may
  // still be inside them; on a loop their destructors, which join threads, would stall it.
  void Replace(List authenticators);

  absl::string_view name() const override { return "chain"; }
  bool Recognises(const Credentials& credentials) const override;
  void Authenticate(Credentials credentials, absl::Time now, Done done) override;

 private:
  std::shared_ptr<const List> Current() const;

  mutable Mutex mutex_;
  std::shared_ptr<const List> current_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const List> replaced_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_AUTHENTICATOR_CHAIN_H_
