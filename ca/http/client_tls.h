// Whom an HTTP client of ours believes, and what it shows of itself.
#ifndef MESHCA_CA_HTTP_CLIENT_TLS_H_
#define MESHCA_CA_HTTP_CLIENT_TLS_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/base/file.h"
#include "ca/base/secret.h"

namespace meshca::http {

// PEM that stands in a file, and is then read again for each connection, so that a file may change, or in memory. A
// value: copies share the bytes.
struct PemSource {
  std::string file;
  std::shared_ptr<const SecretBytes> bytes;  // instead of a file

  bool empty() const { return file.empty() && bytes == nullptr; }
  // The PEM. ReadFile's errors.
  absl::StatusOr<SecretBytes> Read(FileSecrecy secrecy) const;
};

struct ClientTls {
  PemSource ca;  // empty: the system's certificates
  // Shown to a server that asks for one; both or neither.
  PemSource certificate;  // the leaf, then what stands above it
  PemSource key;
  // The name, or the address, that the server's certificate has to have; "": the host of the URL.
  std::string server_name;

  // "": the system's certificates.
  static ClientTls Believing(std::string ca_file) { return {{std::move(ca_file), nullptr}, {}, {}, {}}; }
};

// Reads what `tls` names, as every connection will. Errors name the file, or which of the texts in memory it is:
// ReadFile's; InvalidArgument: no PEM of that kind, or a key that is not the certificate's.
absl::Status CheckClientTls(const ClientTls& tls);

}  // namespace meshca::http

#endif  // MESHCA_CA_HTTP_CLIENT_TLS_H_
