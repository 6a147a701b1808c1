#include "ca/authority/jwt_authority.h"

#include <algorithm>

namespace meshca {

const JwtAuthority* FindInState(const std::vector<JwtAuthority>& keys, AuthorityState state) {
  const auto key =
      std::find_if(keys.begin(), keys.end(), [state](const JwtAuthority& each) { return each.state == state; });
  return key == keys.end() ? nullptr : &*key;
}

}  // namespace meshca
