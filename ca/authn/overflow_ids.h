// The numbers by which the kernel shows users and groups that have no number in this user namespace.
#ifndef MESHCA_CA_AUTHN_OVERFLOW_IDS_H_
#define MESHCA_CA_AUTHN_OVERFLOW_IDS_H_

#include <cstdint>
#include <string>

namespace meshca {

// In a user namespace every user without a mapping looks like the overflow uid, so that number stands for any number of
// strangers at once, and names nobody. The user `nobody` has it on most systems, also where there are no namespaces; a
// workload that runs as `nobody` must be given a uid of its own. Groups likewise. A value.
struct OverflowIds {
  uint32_t uid = 65534;
  uint32_t gid = 65534;

  // /proc/sys/kernel/overflowuid and overflowgid as they were when first asked for; the kernel's defaults where they
  // cannot be read.
  static const OverflowIds& OfKernel();

  // Why a selector with this number fits nobody, and what to do; "" where it fits somebody. 4294967295 is no number of
  // a user or group either: the kernel uses it for "none".
  std::string UidFault(uint32_t number) const;
  std::string GidFault(uint32_t number) const;
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_OVERFLOW_IDS_H_
