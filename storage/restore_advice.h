// The advice that every message about a damaged database ends with.
#ifndef MESHCA_STORAGE_RESTORE_ADVICE_H_
#define MESHCA_STORAGE_RESTORE_ADVICE_H_

#include "absl/strings/string_view.h"

namespace meshca::storage {

inline absl::string_view RestoreAdvice() { return "stop the server and restore a backup: meshca db restore FILE"; }

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_RESTORE_ADVICE_H_
