// Which meshca this is.
#ifndef MESHCA_CLI_VERSION_H_
#define MESHCA_CLI_VERSION_H_

namespace meshca::cli {

// "0.2.0": the project's version in the top-level CMakeLists.txt.
extern const char kVersion[];

}  // namespace meshca::cli

#endif  // MESHCA_CLI_VERSION_H_
