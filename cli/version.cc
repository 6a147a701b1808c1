#include "cli/version.h"

namespace meshca::cli {

const char kVersion[] = MESHCA_VERSION;

}  // namespace meshca::cli
