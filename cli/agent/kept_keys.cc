#include "cli/agent/kept_keys.h"

#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"
#include "ca/base/utc_text.h"
#include "ca/x509/certificate.h"
#include "ca/x509/encoding.h"
#include "ca/x509/signing_key.h"
#include "cli/agent/signed_answer.h"
#include "meshca/agent/v1/kept_keys.pb.h"

namespace meshca::agent {
namespace {

constexpr absl::string_view kFormat = "meshca kept keys ";
constexpr char kFormatVersion = '1';

// Authenticated beside what is sealed: a format, and whose they are.
std::string Associated(const SpiffeId& agent) {
  return absl::StrCat(kFormat, absl::string_view(&kFormatVersion, 1), "\n", agent.uri());
}

absl::StatusOr<std::string> ReadFormat(absl::string_view bytes) {
  if (!absl::ConsumePrefix(&bytes, kFormat) || bytes.empty()) {
    return absl::InvalidArgumentError("it is nothing that an agent keeps its keys in");
  }
  if (bytes.front() != kFormatVersion) {
    return absl::InvalidArgumentError(absl::StrCat("another version of meshca has written it (format ",
                                                   Printable(bytes.substr(0, 1)), "; this one reads ",
                                                   absl::string_view(&kFormatVersion, 1), ")"));
  }
  return std::string(bytes.substr(1));
}

absl::StatusOr<google::protobuf::RepeatedPtrField<std::string>> ChainOf(absl::string_view pem) {
  MESHCA_ASSIGN_OR_RETURN(std::vector<Der> certificates, PemDecodeAll(pem, kPemCertificate));
  google::protobuf::RepeatedPtrField<std::string> chain;
  for (Der& certificate : certificates) *chain.Add() = std::move(certificate).Release();
  return chain;
}

absl::StatusOr<sds::KeyRing::RestoredKey> ReadKey(const v1::KeptKey& kept, const ChainVerifier& verifier,
                                                  absl::Time now, SignedAnswerReader& reader) {
  sds::KeyRing::RestoredKey key;
  MESHCA_ASSIGN_OR_RETURN(key.id, SpiffeId::Parse(kept.spiffe_id()));
  // Whoever may hold it is found by the name alone.
  if (!absl::StartsWith(kept.name(), absl::StrCat(key.id.uri(), "\n"))) {
    return absl::InvalidArgumentError("it is kept under the name of another identity");
  }
  key.name = kept.name();
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<SoftwareKey> private_key, SoftwareKey::FromPem(kept.private_key_pem()));
  key.key_pem = private_key->ToPkcs8Pem();
  MESHCA_ASSIGN_OR_RETURN(const auto chain, ChainOf(kept.chain_pem()));
  MESHCA_ASSIGN_OR_RETURN(const Certificate leaf, Certificate::Parse(Der(chain[0])));
  if (leaf.validity().not_after <= now) {
    return absl::InvalidArgumentError(absl::StrCat("its certificate ended ", UtcText(leaf.validity().not_after)));
  }
  MESHCA_ASSIGN_OR_RETURN(key.svid, reader.Read(chain, private_key->public_key(), key.id, verifier, now));
  key.renew_at = absl::FromUnixSeconds(kept.renew_at());
  return key;
}

}  // namespace

absl::StatusOr<std::string> SealKeys(const std::vector<sds::KeyRing::SharedKey>& keys, const SpiffeId& agent,
                                     absl::Time now, const KeyEncryption& encryption) {
  v1::KeptKeys message;
  message.set_kept_at(absl::ToUnixSeconds(now));
  for (const sds::KeyRing::SharedKey& key : keys) {
    v1::KeptKey& kept = *message.add_keys();
    kept.set_name(key.name);
    kept.set_spiffe_id(key.content->identity().id.uri());
    const absl::string_view pem = key.content->key_pem(), chain = key.content->chain_pem();
    kept.set_private_key_pem(pem.data(), pem.size());
    kept.set_chain_pem(chain.data(), chain.size());
    kept.set_renew_at(absl::ToUnixSeconds(key.renew_at));
  }
  SecretBytes plain(message.SerializeAsString());
  for (v1::KeptKey& kept : *message.mutable_keys()) Wipe(*kept.mutable_private_key_pem());
  if (plain.size() > kKeptBytesMax - 1024) {
    return absl::ResourceExhaustedError(absl::StrCat("the ", keys.size(), " keys of this node's workloads make ",
                                                     plain.size(), " bytes, and at most ", kKeptBytesMax, " are kept"));
  }
  MESHCA_ASSIGN_OR_RETURN(const std::string sealed, encryption.Seal(plain.reveal(), Associated(agent)));
  return absl::StrCat(kFormat, absl::string_view(&kFormatVersion, 1), sealed);
}

absl::StatusOr<KeptKeys> OpenKeys(absl::string_view sealed, const SpiffeId& agent, const ChainVerifier& verifier,
                                  absl::Time now, const KeyEncryption& encryption) {
  MESHCA_ASSIGN_OR_RETURN(const std::string body, ReadFormat(sealed));
  const absl::StatusOr<SecretBytes> plain = encryption.Open(body, Associated(agent));
  if (!plain.ok()) {
    return absl::DataLossError(
        absl::StrCat("it does not open: it was changed or cut off, or kept by another agent than ", agent.uri(),
                     ", or sealed under another key than the state directory has"));
  }
  v1::KeptKeys message;
  if (!message.ParseFromArray(plain->reveal().data(), static_cast<int>(plain->size()))) {
    return absl::DataLossError("what is sealed in it is no list of keys");
  }
  KeptKeys kept;
  kept.kept_at = absl::FromUnixSeconds(message.kept_at());
  SignedAnswerReader reader("what was kept");
  for (v1::KeptKey& one : *message.mutable_keys()) {
    absl::StatusOr<sds::KeyRing::RestoredKey> key = ReadKey(one, verifier, now, reader);
    Wipe(*one.mutable_private_key_pem());
    if (key.ok()) {
      kept.keys.push_back(*std::move(key));
    } else {
      kept.refused.push_back(absl::StrCat(Printable(one.spiffe_id()), ": ", key.status().message()));
    }
  }
  return kept;
}

}  // namespace meshca::agent
