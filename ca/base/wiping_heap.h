// What this process frees is overwritten first: no copy of a key or a token stays behind in free memory.
#ifndef MESHCA_CA_BASE_WIPING_HEAP_H_
#define MESHCA_CA_BASE_WIPING_HEAP_H_

namespace meshca {

// Wiping the buffers we know of (secret.h) leaves the copies that others make: a string that grew, a protobuf message,
// a header that nghttp2 decoded, DER that OpenSSL wrote on the way. A program that links this library has `operator
// delete`, the shared libraries' included, and OpenSSL overwrite what they free. It costs one memset for each piece of
// memory: 8 ns for 64 bytes, 17 ns for 1 KiB, 75 ns for 4 KiB.
//
// For main() to call, so that the library is linked: CHECKs that it is at work. In a build with a sanitizer, whose own
// heap stays as it is, nothing is wiped.
void CheckThatFreedMemoryIsWiped();

}  // namespace meshca

#endif  // MESHCA_CA_BASE_WIPING_HEAP_H_
