// Call metadata: the headers and trailers of a call that belong to the application.
#ifndef MESHCA_CA_RPC_METADATA_H_
#define MESHCA_CA_RPC_METADATA_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meshca::rpc {

// An ordered multimap of names to values in one block of memory. Names are lower-case. A name that ends in "-bin" holds
// any bytes (base64 on the wire, decoded here); other values are printable ASCII. Not thread-safe; const use is.
class Metadata {
 public:
  // Appends; an earlier entry with the same name stays. False, and nothing added, when `name` is not a legal metadata
  // name ([0-9a-z_.-], not starting with "grpc-" or ":") or `value` holds a byte an ASCII value may not have.
  bool Add(absl::string_view name, absl::string_view value);

  // The first value of `name`; valid until the next Add.
  std::optional<absl::string_view> Find(absl::string_view name) const;
  std::vector<absl::string_view> FindAll(absl::string_view name) const;

  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  absl::string_view name(size_t index) const;
  absl::string_view value(size_t index) const;

  // Appends what came over the wire, already checked by the HTTP/2 layer.
  void AddUnchecked(absl::string_view name, absl::string_view value);

 private:
  struct Entry {
    uint32_t offset;
    uint32_t name_bytes;
    uint32_t value_bytes;
  };
  std::string bytes_;
  std::vector<Entry> entries_;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_METADATA_H_
