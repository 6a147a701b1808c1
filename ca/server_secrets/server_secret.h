// A Kubernetes Secret that holds a server's certificate, as a value: read from its object, and written.
#ifndef MESHCA_CA_SERVER_SECRETS_SERVER_SECRET_H_
#define MESHCA_CA_SERVER_SECRETS_SERVER_SECRET_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/base/secret.h"
#include "ca/kubernetes/api_call.h"
#include "ca/kubernetes/picked_fields.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca {

// Which Secret, and for whom its certificate is. A value.
struct ServerSecretName {
  std::string namespace_name;
  std::string name;

  // "Secret istio-system/istiod-tls", for people. It is the subscriber instance that its certificates are recorded for.
  std::string Text() const { return "Secret " + namespace_name + "/" + name; }
};

// What stands in the Secret, decoded. Holds a private key: moves, never copies.
struct SecretContent {
  std::string chain_pem;  // tls.crt: the leaf, then what leads from it to a root, which is left out
  SecretBytes key_pem;    // tls.key: PKCS#8
  std::string roots_pem;  // ca.crt: every trusted root

  // SHA-256, 32 bytes: tells one content from another. Nobody learns anything of the key by it.
  std::string Digest() const;
};

// The object as it is there.
struct SeenSecret {
  SecretContent content;  // "" of what is missing, or no base64
  std::string type;       // nobody can change it
  bool immutable = false;
  absl::Time created;  // this object; InfinitePast: nobody says
  // Since when a Secret of this name has been there: this object's annotation, where it says an earlier time than
  // `created`.
  absl::Time there_since;
  bool labelled = false;  // as CallToWriteServerSecret does

  // Whether it has the labels and annotations that it is to have; `since` is what is known of `there_since`.
  bool IsMarked(absl::Time since) const;
};

// What ReadServerSecret wants of the object (kubernetes::FieldPicker), in its order.
std::vector<std::string> ServerSecretPaths();
SeenSecret ReadServerSecret(const kubernetes::PickedFields& object);

// Writes `content` there by server-side apply, whoever else holds its fields. `type`: of the Secret that is there; "":
// there is none yet, and it becomes kubernetes.io/tls. `there_since`: SeenSecret's, for the annotation; InfinitePast:
// it is not known yet. The call's body is secret.
kubernetes::ApiCall CallToWriteServerSecret(const ServerSecretName& secret, absl::string_view type,
                                            const SecretContent& content,
                                            absl::Time there_since = absl::InfinitePast());

}  // namespace meshca

#endif  // MESHCA_CA_SERVER_SECRETS_SERVER_SECRET_H_
