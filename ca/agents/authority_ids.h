// The ids of authorities, each kept once however many agents hold certificates under it.
#ifndef MESHCA_CA_AGENTS_AUTHORITY_IDS_H_
#define MESHCA_CA_AGENTS_AUTHORITY_IDS_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace meshca {

// An id is 64 characters; ten thousand agents have the same few of them, four times each. One thread.
class AuthorityIds {
 public:
  // Two from here are the same object if, and only if, they are the same text.
  using Id = std::shared_ptr<const std::string>;

  // Never null; "" is one like others.
  Id Of(absl::string_view id);

  size_t size() const { return ids_.size(); }

 private:
  static constexpr size_t kSweepMin = 64;

  absl::flat_hash_map<absl::string_view, Id> ids_;  // by their own text
  size_t sweep_at_ = kSweepMin;                     // so many: those that nobody has any more are let go
};

}  // namespace meshca

#endif  // MESHCA_CA_AGENTS_AUTHORITY_IDS_H_
