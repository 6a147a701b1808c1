#include "cli/agent/own_identity.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/status.h"
#include "ca/x509/certificate.h"
#include "ca/x509/encoding.h"

namespace meshca::agent {
namespace {

constexpr absl::string_view kAgentPath = "/meshca/agent/";

}  // namespace

absl::StatusOr<SpiffeId> AgentId(const TrustDomain& trust_domain, absl::string_view node) {
  return SpiffeId::FromParts(trust_domain, absl::StrCat(kAgentPath, node));
}

absl::StatusOr<std::string> NodeOf(const SpiffeId& id) {
  absl::string_view node = id.path();
  if (!absl::ConsumePrefix(&node, kAgentPath) || node.find('/') != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(id.uri(), " is no agent's: such an ID ends in ", kAgentPath, "NODE"));
  }
  return std::string(node);
}

absl::StatusOr<OwnIdentityPtr> MakeOwnIdentity(std::shared_ptr<const SoftwareKey> key, CertificateChain chain) {
  MESHCA_ASSIGN_OR_RETURN(const Certificate leaf, chain.ParseLeaf());
  if (!(leaf.public_key() == key->public_key())) {
    return absl::InvalidArgumentError("the certificate is for another key than the one beside it");
  }
  auto identity = std::make_shared<OwnIdentity>();
  MESHCA_ASSIGN_OR_RETURN(identity->id, leaf.spiffe_id());
  MESHCA_ASSIGN_OR_RETURN(identity->node, NodeOf(identity->id));
  identity->key = std::move(key);
  identity->chain = std::move(chain);
  identity->validity = leaf.validity();
  identity->serial = leaf.serial_hex();
  return OwnIdentityPtr(std::move(identity));
}

SecretBytes OwnIdentityPem(const OwnIdentity& identity) {
  return SecretBytes(absl::StrCat(identity.key->ToPkcs8Pem().reveal(), identity.chain.ToPem()));
}

absl::StatusOr<OwnIdentityPtr> ReadOwnIdentity(absl::string_view pem) {
  MESHCA_ASSIGN_OR_RETURN(std::vector<PemBlock> blocks, PemDecodeBlocks(pem));
  if (blocks.front().label != kPemPrivateKey) {
    return absl::InvalidArgumentError("the first PEM block is no private key");
  }
  const SecretBytes key_der(std::move(blocks.front().der).Release());
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<SoftwareKey> key, SoftwareKey::FromPkcs8Der(key_der.reveal()));
  std::vector<Certificate> certificates;
  for (size_t i = 1; i < blocks.size(); ++i) {
    if (blocks[i].label != kPemCertificate) {
      return absl::InvalidArgumentError(absl::StrCat("PEM block ", i + 1, " is no certificate"));
    }
    MESHCA_ASSIGN_OR_RETURN(Certificate certificate, Certificate::Parse(blocks[i].der));
    certificates.push_back(std::move(certificate));
  }
  if (certificates.empty()) return absl::InvalidArgumentError("there is no certificate behind the key");
  MESHCA_ASSIGN_OR_RETURN(CertificateChain chain, CertificateChain::Make(certificates));
  return MakeOwnIdentity(std::move(key), std::move(chain));
}

}  // namespace meshca::agent
