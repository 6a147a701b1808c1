#include "ca/authn/authenticator_chain.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/status.h"

namespace meshca {

AuthenticatorChain::AuthenticatorChain(List authenticators)
    : current_(std::make_shared<const List>(std::move(authenticators))) {}

void AuthenticatorChain::Replace(List authenticators) {
  std::shared_ptr<const List> last;  // ends after the lock is released
  auto fresh = std::make_shared<const List>(std::move(authenticators));
  MutexLock lock(mutex_);
  last = std::exchange(replaced_, std::exchange(current_, std::move(fresh)));
}

std::shared_ptr<const AuthenticatorChain::List> AuthenticatorChain::Current() const {
  MutexLock lock(mutex_);
  return current_;
}

bool AuthenticatorChain::Recognises(const Credentials& credentials) const {
  const std::shared_ptr<const List> list = Current();
  return std::any_of(list->begin(), list->end(),
                     [&](const std::shared_ptr<Authenticator>& each) { return each->Recognises(credentials); });
}

void AuthenticatorChain::Authenticate(Credentials credentials, absl::Time now, Done done) {
  const std::shared_ptr<const List> list = Current();
  for (const std::shared_ptr<Authenticator>& each : *list) {
    if (each->Recognises(credentials)) return each->Authenticate(std::move(credentials), now, std::move(done));
  }
  const std::string accepted =
      list->empty()
          ? "this server accepts no credentials"
          : absl::StrCat("accepted here: ", absl::StrJoin(*list, ", ", [](std::string* out, const auto& each) {
                           absl::StrAppend(out, each->accepts());
                         }));
  if (!credentials.bearer_token.empty()) {
    return std::move(done)(
        WithReason(absl::UnauthenticatedError(absl::StrCat("the bearer token is of no kind known here; ", accepted)),
                   "CREDENTIAL_UNRECOGNISED"));
  }
  std::move(done)(
      WithReason(absl::UnauthenticatedError(absl::StrCat("no credential; ", accepted)), "CREDENTIAL_MISSING"));
}

}  // namespace meshca
