// The files of a CA that was made elsewhere: in a folder, or by name and content, as a Secret in Kubernetes holds them.
#ifndef MESHCA_CA_AUTHORITY_SET_FILES_H_
#define MESHCA_CA_AUTHORITY_SET_FILES_H_

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/file.h"
#include "ca/base/secret.h"

namespace meshca {

// Immutable. Moves, never copies, for a private key is among the files.
class SetFiles {
 public:
  using Contents = std::map<std::string, SecretBytes, std::less<>>;

  // Those in `folder`, which are read when they are asked for.
  explicit SetFiles(std::string folder) : place_(std::move(folder)) {}
  // Those in `contents`; `origin` says to people where they come from: "secret istio-system/cacerts".
  SetFiles(std::string origin, Contents contents) : place_(std::move(origin)), contents_(std::move(contents)) {}

  // The folder or the origin.
  const std::string& place() const { return place_; }
  // How an error names a file: "<place>/<name>".
  std::string PathOf(absl::string_view name) const;
  bool Has(absl::string_view name) const;
  // At most `bytes_max` bytes. Errors name PathOf(name): ReadFile's; of given contents NotFound and InvalidArgument
  // (too large). `secrecy` is about files alone.
  absl::StatusOr<std::string> Read(absl::string_view name, size_t bytes_max, FileSecrecy secrecy) const;
  // AuthoritySet::key_reference: where the key stays if it is not put into the key store. That of given contents is
  // nowhere, so nothing of it is ever stored.
  std::string KeyReference() const;

 private:
  std::string place_;
  std::optional<Contents> contents_;  // nullopt: a folder's
};

}  // namespace meshca

#endif  // MESHCA_CA_AUTHORITY_SET_FILES_H_
