// Bytes nobody but their owner may see: private keys, tokens, key-encryption keys.
#ifndef MESHCA_CA_BASE_SECRET_H_
#define MESHCA_CA_BASE_SECRET_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/strings/string_view.h"

namespace meshca {

// Moves, never copies by accident (`Clone` says so aloud); wiped when it ends or is overwritten; has no stream
// operator, so no log prints it. Not thread-safe; const use from many threads is.
class SecretBytes {
 public:
  SecretBytes() = default;
  // Takes `bytes` over and wipes the source.
  explicit SecretBytes(std::string&& bytes);
  static SecretBytes CopyOf(absl::string_view bytes);
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  SecretBytes Clone() const { return CopyOf(reveal()); }
  bool empty() const { return bytes_.empty(); }
  size_t size() const { return bytes_.size(); }

  // The bytes, for the call that needs them. Named so that a reader of the caller notices.
  absl::string_view reveal() const { return bytes_; }

 private:
  std::string bytes_;
};

// Overwrites `text` so that no copy stays behind, then empties it.
void Wipe(std::string& text);

// Equality in time that depends on the lengths alone.
bool ConstantTimeEquals(absl::string_view a, absl::string_view b);

}  // namespace meshca

#endif  // MESHCA_CA_BASE_SECRET_H_
