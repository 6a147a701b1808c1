// How old this source is.
#ifndef MESHCA_CA_BASE_SOURCE_DATE_H_
#define MESHCA_CA_BASE_SOURCE_DATE_H_

#include "absl/time/time.h"

namespace meshca {

// When this source was last changed, as far as the build knows: SOURCE_DATE_EPOCH, else the last commit's date, else
// the one written down in source_date.txt. A clock before it is wrong. Found out when the build is configured, and
// compiled into one small object of its own, so that nothing else is compiled anew because of it.
absl::Time SourceDate();

}  // namespace meshca

#endif  // MESHCA_CA_BASE_SOURCE_DATE_H_
