// What is printed to a FILE, as text.
#ifndef MESHCA_TEST_CLI_TERMINAL_CAPTURED_H_
#define MESHCA_TEST_CLI_TERMINAL_CAPTURED_H_

#include <cstdio>
#include <cstdlib>
#include <string>

namespace meshca::cli {

// A file in memory. One thread.
class Captured {
 public:
  Captured() : out_(::open_memstream(&text_, &size_)) {}
  ~Captured() {
    std::fclose(out_);
    std::free(text_);
  }
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;

  std::FILE* out() { return out_; }
  // Everything printed so far.
  std::string Text() {
    std::fflush(out_);
    return std::string(text_, size_);
  }

 private:
  char* text_ = nullptr;
  size_t size_ = 0;
  std::FILE* const out_;
};

}  // namespace meshca::cli

#endif  // MESHCA_TEST_CLI_TERMINAL_CAPTURED_H_
