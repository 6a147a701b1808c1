// What may be shown of an SDS secret: everything but the private key.
#ifndef MESHCA_CLI_CLIENT_SECRET_VIEW_H_
#define MESHCA_CLI_CLIENT_SECRET_VIEW_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace meshca::cli {

struct SecretView {
  std::string name;
  std::string kind;  // "certificate", "roots", "bundles"
  // kind certificate
  std::string spiffe_id;
  std::string serial;
  absl::Time not_after = absl::InfinitePast();
  std::string chain_pem;
  bool has_private_key = false;
  // kind roots: one trust domain's; kind bundles: each of several
  struct Roots {
    std::string trust_domain;  // "" for kind roots
    std::vector<std::string> fingerprints;
    std::string pem;
  };
  std::vector<Roots> roots;
};

// Reads a serialised envoy Secret. The private key is wiped from the message before anything else looks at it; no
// SecretView holds it. InvalidArgument: not a secret of these kinds.
absl::StatusOr<SecretView> ReadSecretView(absl::string_view bytes);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_CLIENT_SECRET_VIEW_H_
