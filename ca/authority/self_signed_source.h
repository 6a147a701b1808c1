// The default AuthoritySource: meshca makes its own root.
#ifndef MESHCA_CA_AUTHORITY_SELF_SIGNED_SOURCE_H_
#define MESHCA_CA_AUTHORITY_SELF_SIGNED_SOURCE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_maker.h"
#include "ca/authority/authority_source.h"

namespace meshca {

// Every Load makes another root, with a key of its own, which is in no store yet. Fingerprint never changes, because a
// root is replaced by a rotation only.
class SelfSignedSource final : public AuthoritySource {
 public:
  // `maker` outlives the source.
  explicit SelfSignedSource(const AuthorityMaker& maker) : maker_(maker) {}

  absl::StatusOr<AuthoritySet> Load(absl::Time now) override;
  absl::StatusOr<std::string> Fingerprint() override { return std::string(); }

 private:
  const AuthorityMaker& maker_;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SELF_SIGNED_SOURCE_H_
