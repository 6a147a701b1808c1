// Which meshca this is.
#ifndef MESHCA_CA_BASE_VERSION_H_
#define MESHCA_CA_BASE_VERSION_H_

namespace meshca {

// "0.2.0": the project's version in the top-level CMakeLists.txt.
extern const char kVersion[];

}  // namespace meshca

#endif  // MESHCA_CA_BASE_VERSION_H_
