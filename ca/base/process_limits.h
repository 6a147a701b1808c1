// What belongs to a process as a whole. Its main function sets it once, before any thread starts; libraries only ask.
#ifndef MESHCA_CA_BASE_PROCESS_LIMITS_H_
#define MESHCA_CA_BASE_PROCESS_LIMITS_H_

#include <cstdint>

namespace meshca {

// A write to a pipe or a connection that nobody reads becomes an error (EPIPE) and no longer ends the process. OpenSSL
// needs this, because it writes to sockets without MSG_NOSIGNAL.
void IgnoreBrokenPipes();
// Whether the process survives such a write.
bool SurvivesBrokenPipes();

// Raises the soft limit of open descriptors to the hard one. Where the system refuses it stays as it is: fewer
// descriptors mean fewer connections, and DescriptorLimit says how many.
void RaiseDescriptorLimit();
// RLIMIT_NOFILE, the soft limit as it is now; the largest number where there is none.
uint64_t DescriptorLimit();

}  // namespace meshca

#endif  // MESHCA_CA_BASE_PROCESS_LIMITS_H_
