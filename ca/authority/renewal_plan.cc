#include "ca/authority/renewal_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ca/base/utc_text.h"

namespace meshca {
namespace {

constexpr absl::Duration kLongestSleep = absl::Hours(1);

const SigningAuthority* FindActive(std::span<const SigningAuthority> authorities, AuthorityRole role) {
  for (const SigningAuthority& authority : authorities) {
    if (authority.role == role && authority.state == AuthorityState::kActive) return &authority;
  }
  return nullptr;
}

absl::Time EndOf(const SigningAuthority& authority) { return authority.certificate.validity().not_after; }

std::string Name(const SigningAuthority& authority) {
  return absl::StrCat(AuthorityRoleName(authority.role), " authority ", authority.id.substr(0, 16));
}

bool CanSignIssuing(const SigningAuthority* root, absl::Time now) {
  return root != nullptr && !root->key_reference.empty() && root->certificate.validity().Contains(now);
}

// Would an authority made now under `root` outlast `issuing`? Near the root's end both end with it, and making another
// would gain nothing, again and again.
bool WouldOutlast(const SigningAuthority& issuing, const SigningAuthority& root, absl::Time now,
                  const RenewalPolicy& policy) {
  return std::min(now + policy.issuing_lifetime, EndOf(root)) > EndOf(issuing) + absl::Seconds(1);
}

// Why the active issuing authority must be replaced now; "" when it need not be.
std::string WhyRenew(const SigningAuthority* issuing, const SigningAuthority& root, absl::Time now,
                     const RenewalPolicy& policy) {
  if (issuing == nullptr) return "no issuing authority is active";
  if (issuing->tainted && !root.tainted) return absl::StrCat(Name(*issuing), " is tainted");
  if (now < issuing->certificate.validity().not_before) {
    return absl::StrCat(Name(*issuing), " begins ", Rfc3339Text(issuing->certificate.validity().not_before),
                        ": it was made while the clock was ahead");
  }
  if (EndOf(*issuing) - now >= policy.RenewBelow() || !WouldOutlast(*issuing, root, now, policy)) return "";
  return absl::StrCat(Name(*issuing), " ends ", Rfc3339Text(EndOf(*issuing)));
}

void PlanIssuing(absl::Time now, const SigningAuthority* issuing, const SigningAuthority* root,
                 const RenewalPolicy& policy, RenewalPlan& plan) {
  if (CanSignIssuing(root, now)) {
    std::string why = WhyRenew(issuing, *root, now, policy);
    if (!why.empty()) plan.steps.push_back({RenewalStep::Kind::kMakeIssuing, root->id, std::move(why)});
  } else if (issuing != nullptr && (root == nullptr || root->key_reference.empty()) &&
             EndOf(*issuing) - now < policy.RenewBelow()) {
    plan.warnings.push_back(absl::StrCat(Name(*issuing), " ends ", Rfc3339Text(EndOf(*issuing)),
                                         " and meshca cannot renew it, because it does not hold the key of its root: "
                                         "put a new set into the plugged-in CA's folder"));
  }
  if (issuing == nullptr) {
    plan.why_not_signing = "no issuing authority is active";
  } else if (now < issuing->certificate.validity().not_before) {
    plan.why_not_signing =
        absl::StrCat(Name(*issuing), " is not valid before ", Rfc3339Text(issuing->certificate.validity().not_before),
                     ": is the clock behind?");
  } else if (!issuing->certificate.validity().Contains(now)) {
    plan.why_not_signing = absl::StrCat(Name(*issuing), " ended ", Rfc3339Text(EndOf(*issuing)));
  } else {
    plan.issuing_id = issuing->id;
  }
}

void WarnOfRootsEnd(absl::Time now, const SigningAuthority* root, const RenewalPolicy& policy, RenewalPlan& plan) {
  if (root == nullptr || EndOf(*root) - now >= policy.issuing_lifetime + policy.leaf_lifetime_max) return;
  plan.warnings.push_back(absl::StrCat(Name(*root), now > EndOf(*root) ? " ended " : " ends ",
                                       Rfc3339Text(EndOf(*root)), ": replace it with `meshca root rotate`"));
}

}  // namespace

bool EndsSoon(AuthorityRole role, const Validity& validity, absl::Time now) {
  const double share = role == AuthorityRole::kRoot ? 0.1 : 0.2;
  return validity.not_after - now < share * validity.lifetime();
}

RenewalPlan PlanRenewal(absl::Time now, std::span<const SigningAuthority> authorities, const RenewalPolicy& policy) {
  const SigningAuthority* issuing = FindActive(authorities, AuthorityRole::kIssuing);
  const SigningAuthority* root = FindActive(authorities, AuthorityRole::kRoot);
  RenewalPlan plan;
  plan.next_wakeup = now + kLongestSleep;
  auto wake_at = [&](absl::Time time) {
    if (time > now) plan.next_wakeup = std::min(plan.next_wakeup, time);
  };
  PlanIssuing(now, issuing, root, policy, plan);
  WarnOfRootsEnd(now, root, policy, plan);
  // An old root is never retired for its age alone: that takes the evidence of a rotation.
  for (const SigningAuthority& authority : authorities) {
    if (authority.role != AuthorityRole::kIssuing || authority.state != AuthorityState::kOld) continue;
    if (EndOf(authority) < now) {
      plan.steps.push_back(
          {RenewalStep::Kind::kRetire, authority.id, absl::StrCat("ended ", Rfc3339Text(EndOf(authority)))});
    } else {
      wake_at(EndOf(authority) + absl::Seconds(1));
    }
  }
  if (issuing != nullptr) {
    wake_at(issuing->certificate.validity().not_before);
    wake_at(EndOf(*issuing) - policy.RenewBelow() + absl::Seconds(1));
    wake_at(EndOf(*issuing) + absl::Seconds(1));
  }
  return plan;
}

}  // namespace meshca
