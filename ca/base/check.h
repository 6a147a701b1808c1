// CHECK: a belief of our own that must hold. When it does not, the process says which one and aborts, because going on
// could hand out a wrong identity. Never for input: input gets an absl::Status.
#ifndef MESHCA_CA_BASE_CHECK_H_
#define MESHCA_CA_BASE_CHECK_H_

namespace meshca::internal {
// Writes `file:line: check failed: condition` to stderr and aborts. Async-signal-safe apart from stderr.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);
}  // namespace meshca::internal

#define MESHCA_CHECK(condition)                                        \
  do {                                                                 \
    if (!(condition)) [[unlikely]] {                                   \
      ::meshca::internal::CheckFailed(__FILE__, __LINE__, #condition); \
    }                                                                  \
  } while (false)

#endif  // MESHCA_CA_BASE_CHECK_H_
