#include "ca/base/version.h"

namespace meshca {

const char kVersion[] = MESHCA_VERSION;

}  // namespace meshca
