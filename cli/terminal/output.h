// The one way to stdout and stderr. Nothing in cli/ prints past it: what stands in an argument is text from elsewhere
// and cannot move the cursor (ca/base/printable.h), and a write that fails is not forgotten (a full disk).
#ifndef MESHCA_CLI_TERMINAL_OUTPUT_H_
#define MESHCA_CLI_TERMINAL_OUTPUT_H_

#include <cstdio>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "ca/base/printable.h"

namespace meshca::cli {

// As it is: for our own escape sequences, and for text that went through printable.h.
void PutRaw(std::FILE* out, absl::string_view text);
// A document of several lines: PrintableLines.
void PutText(std::FILE* out, absl::string_view text);

namespace output_internal {
// An argument of Put: text is Printable on one line, numbers are themselves.
template <typename T>
auto Shown(const T& argument) {
  if constexpr (std::is_convertible_v<const T&, absl::string_view>) {
    return Printable(argument);
  } else {
    return argument;
  }
}
}  // namespace output_internal

// printf, of Abseil: `format` is ours, the arguments are data.
template <typename... Args>
void Put(std::FILE* out,
         const absl::FormatSpec<decltype(output_internal::Shown(std::declval<const Args&>()))...>& format,
         const Args&... args) {
  PutRaw(out, absl::StrFormat(format, output_internal::Shown(args)...));
}
template <typename... Args>
void Out(const absl::FormatSpec<decltype(output_internal::Shown(std::declval<const Args&>()))...>& format,
         const Args&... args) {
  PutRaw(stdout, absl::StrFormat(format, output_internal::Shown(args)...));
}
template <typename... Args>
void Err(const absl::FormatSpec<decltype(output_internal::Shown(std::declval<const Args&>()))...>& format,
         const Args&... args) {
  PutRaw(stderr, absl::StrFormat(format, output_internal::Shown(args)...));
}

// As soon as it is known that a key or a token will be printed on stdout. Where that goes into a file of this process's
// user (`meshca kek create > kek`), which a shell makes as the umask says, the file is the owner's alone from now on:
// whoever opened it in the moment before can read it on. Nothing else is touched.
void KeepOutputPrivate();

// Something printed to stdout got lost: a command that goes on and on need not.
bool OutputBroken();

// Sends what is buffered. A failure is kept for FinishOutput.
void Flush(std::FILE* out);
// Sends what is buffered on stdout and says whether all of it arrived so far. What got lost is forgotten then: for a
// process that goes on without its reader.
absl::Status TakeOutputFailure();

// Before the process ends: sends what is buffered and says whether all of the answer arrived. The answer is stdout, or
// stderr where a command prints nothing else. Unavailable says what to do. Where the reader closed its pipe (`| head`)
// the process ends here, as SIGPIPE ends programs, without a word.
absl::Status FinishOutput();

// Opens the standard descriptors that the caller had closed, such that writing to them fails: else the first file or
// socket would get the number, and the answer would be printed into it. Call first.
void ReserveStandardDescriptors();

}  // namespace meshca::cli

#endif  // MESHCA_CLI_TERMINAL_OUTPUT_H_
