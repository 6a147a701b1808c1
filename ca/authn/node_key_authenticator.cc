#include "ca/authn/node_key_authenticator.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/status.h"
#include "ca/identity/node_name.h"
#include "ca/x509/digest.h"
#include "ca/x509/public_key.h"

namespace meshca {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr size_t kTimeBytes = 8;
constexpr size_t kMacBytes = 32;
// Of RSA 4096, the largest key that is believed, and some room.
constexpr size_t kFieldBytesMax = 1024;

absl::Status NoProof(absl::string_view why) {
  return WithReason(absl::UnauthenticatedError(absl::StrCat("proof of an agent's key: ", why)), "NODE_KEY_PROOF");
}

std::string BigEndian(uint64_t number) {
  std::string bytes;
  for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(number >> shift & 0xff));
  return bytes;
}

uint64_t FromBigEndian(absl::string_view bytes) {
  uint64_t number = 0;
  for (const char byte : bytes) number = number << 8 | static_cast<unsigned char>(byte);
  return number;
}

SecretBytes MakeKey(EntropySource& entropy) {
  std::string key(kKeyBytes, '\0');
  entropy.Fill({reinterpret_cast<uint8_t*>(key.data()), key.size()});
  return SecretBytes(std::move(key));
}

absl::Status CheckShape(const NodeKeyProof& proof) {
  MESHCA_RETURN_IF_ERROR(Annotate(CheckNodeName(proof.node), "proof of an agent's key"));
  for (const std::string* field : {&proof.public_key, &proof.signature_algorithm, &proof.signature}) {
    if (field->empty() || field->size() > kFieldBytesMax) {
      return NoProof(absl::StrCat("key, algorithm and signature have 1 to ", kFieldBytesMax, " bytes each"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSignature(const NodeKeyClaim& claim, const TrustDomain& trust_domain) {
  const NodeKeyProof& proof = claim.proof;
  const absl::StatusOr<PublicKey> key = PublicKey::FromSpki(proof.public_key);
  if (!key.ok()) return NoProof(key.status().message());
  const absl::Status verified =
      key->Verify(proof.signature_algorithm, NodeKeyStatement(trust_domain, proof.node, proof.challenge, claim.csr),
                  proof.signature);
  return verified.ok() ? absl::OkStatus() : NoProof(verified.message());
}

}  // namespace

NodeKeyAuthenticator::NodeKeyAuthenticator(NodeStore& store, const TrustDomain& trust_domain, const JudgedClock& clock,
                                           EntropySource& entropy, Options options)
    : store_(store),
      trust_domain_(trust_domain),
      clock_(clock),
      grace_(options.grace),
      challenge_key_(MakeKey(entropy)),
      pool_([&options] {
        options.pool.what = "proofs of agents' keys";
        return std::move(options.pool);
      }()) {}

void NodeKeyAuthenticator::Stop() {
  stopping_ = true;
  pool_.Stop();
}

std::string NodeKeyAuthenticator::ChallengeMac(uint64_t connection_id, absl::string_view time) const {
  const std::string message = absl::StrCat(BigEndian(connection_id), time);
  std::string mac(kMacBytes, '\0');
  unsigned int size = 0;
  MESHCA_CHECK(HMAC(EVP_sha256(), challenge_key_.reveal().data(), static_cast<int>(challenge_key_.size()),
                    reinterpret_cast<const unsigned char*>(message.data()), message.size(),
                    reinterpret_cast<unsigned char*>(mac.data()), &size) != nullptr);
  MESHCA_CHECK(size == kMacBytes);
  return mac;
}

std::string NodeKeyAuthenticator::MakeChallenge(uint64_t connection_id) const {
  const std::string time = BigEndian(static_cast<uint64_t>(absl::ToInt64Microseconds(clock_.SinceBoot())));
  return absl::StrCat(time, ChallengeMac(connection_id, time));
}

absl::Status NodeKeyAuthenticator::CheckChallenge(absl::string_view challenge, uint64_t connection_id) const {
  const absl::string_view time = challenge.substr(0, kTimeBytes);
  if (challenge.size() == kTimeBytes + kMacBytes &&
      ConstantTimeEquals(ChallengeMac(connection_id, time), challenge.substr(kTimeBytes))) {
    const absl::Duration given = absl::Microseconds(static_cast<int64_t>(FromBigEndian(time)));
    if (clock_.SinceBoot() < given + kChallengeLife) return absl::OkStatus();
  }
  return WithReason(
      absl::UnavailableError(absl::StrCat("proof of an agent's key: the challenge was not given to this connection in "
                                          "the last ",
                                          absl::FormatDuration(kChallengeLife), "; get another and sign that")),
      "CHALLENGE_ENDED");
}

void NodeKeyAuthenticator::Authenticate(NodeKeyClaim claim, Authenticator::Done done) {
  if (!offered()) {
    return std::move(done)(WithReason(
        absl::UnauthenticatedError(absl::StrCat(
            "this CA lets no agent join again by its key (agents.rejoin_grace is 0); join with a new token: meshca "
            "token create --node NODE")),
        "REJOIN_OFF"));
  }
  if (absl::Status shape = CheckShape(claim.proof); !shape.ok()) return std::move(done)(shape);
  if (absl::Status given = CheckChallenge(claim.proof.challenge, claim.connection_id); !given.ok()) {
    return std::move(done)(given);
  }
  absl::StatusOr<FairPool::Place> place = pool_.Admit(claim.source);
  if (!place.ok()) return std::move(done)(place.status());
  pool_.Submit(*std::move(place), [this, claim = std::move(claim), done = std::move(done)]() mutable {
    if (stopping_) return std::move(done)(absl::UnavailableError("the server is shutting down"));
    if (claim.abandoned && claim.abandoned()) return std::move(done)(absl::CancelledError("the caller went away"));
    std::move(done)(Judge(claim));
  });
}

absl::StatusOr<CallerIdentity> NodeKeyAuthenticator::Judge(const NodeKeyClaim& claim) const {
  const absl::StatusOr<NodeRecord> node = store_.FindNode(claim.proof.node);
  if (absl::IsNotFound(node.status())) return NodeKeyIsNotNewest(claim.proof.node);
  if (!node.ok()) return Annotate(node.status(), "proof of an agent's key");
  const ProvenNodeKey proven{Sha256(claim.proof.public_key), grace_};
  if (proven.sha256 != node->key_sha256) return NodeKeyIsNotNewest(node->node);
  MESHCA_RETURN_IF_ERROR(CheckSignature(claim, trust_domain_));
  // How long ago something ended is what a clock says that was set, too.
  const std::optional<absl::Time> now = clock_.BelievedNow();
  if (!now.has_value()) {
    return WithReason(absl::UnavailableError("the CA's clock cannot be believed now, so it does not know how long ago "
                                             "the agent's certificate ended; try again"),
                      "CLOCK_NOT_BELIEVED");
  }
  // The new key is not known yet: whether the certificate still lives is judged with the issuance.
  MESHCA_RETURN_IF_ERROR(JudgeNodeKey(*node, proven, node->key_sha256, *now));
  MESHCA_ASSIGN_OR_RETURN(SpiffeId id, AgentId(trust_domain_, node->node));
  CallerIdentity caller;
  caller.method = AuthMethod::kNodeKey;
  caller.subject = absl::StrCat("agent of node ", node->node);
  caller.ids = {std::move(id)};
  caller.node = node->node;
  caller.parent_serial = node->certificate_serial;
  caller.origin = {OriginKind::kJoinToken, node->token_id};
  caller.node_key = proven;
  caller.proof_expires = node->certificate_expires + grace_;
  return caller;
}

}  // namespace meshca
