#include "test/bench/service_account_tokens.h"

#include <cstdint>
#include <iterator>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ca/base/status.h"
#include "ca/jwt/jwt_key.h"
#include "ca/kubernetes/picked_fields.h"
#include "ca/x509/signing_key.h"

namespace meshca::bench {
namespace {

constexpr int kNamespaces = 500;
constexpr int kAccounts = 2'500;
constexpr int kNodes = 2'000;
constexpr char kKeyId[] = "Nj0P9TBGlYZ7ZcBOCQzkm2tjNVYZUPyKJ0hqsLBVnqs";

std::string NamespaceOf(int pod) { return absl::StrCat("namespace-", pod % kNamespaces); }
std::string AccountOf(int pod) { return absl::StrCat("service-account-", pod % kAccounts); }
std::string PodName(int pod) { return absl::StrFormat("deployment-name-%06d-7d4c9b6f58-x2x9p", pod); }
std::string NodeOf(int pod) { return absl::StrCat("ip-10-0-", pod % kNodes, ".eu-central-1.compute.internal"); }
std::string PodUid(int pod) { return absl::StrFormat("0b5d2b6e-9c1f-4e55-8a3d-%012x", pod); }
std::string AccountUidOf(int pod) { return absl::StrFormat("7c1f0a3e-22ab-4d17-9e50-%012x", pod % kAccounts); }
std::string NodeUid(int pod) { return absl::StrFormat("5e1d9c02-71b4-4f0a-b6cd-%012x", pod % kNodes); }

template <size_t N>
kubernetes::PickedFields Fields(size_t count, const std::string (&texts)[N]) {
  kubernetes::PickedFields fields(count);
  for (size_t i = 0; i < N; ++i) fields.Add(i, "", texts[i]);
  return fields;
}

// As a kubelet asks for it for a projected volume.
std::string Payload(int pod, absl::Time now) {
  const int64_t at = absl::ToUnixSeconds(now);
  return absl::StrCat(
      R"({"aud":[")", kTokenAudience, R"("],"exp":)", at + 43200, R"(,"iat":)", at, R"(,"iss":")", kTokenIssuer,
      R"(","jti":")", PodUid(pod), R"(","kubernetes.io":{"namespace":")", NamespaceOf(pod), R"(","node":{"name":")",
      NodeOf(pod), R"(","uid":")", NodeUid(pod), R"("},"pod":{"name":")", PodName(pod), R"(","uid":")", PodUid(pod),
      R"("},"serviceaccount":{"name":")", AccountOf(pod), R"(","uid":")", AccountUidOf(pod), R"("}},"nbf":)", at,
      R"(,"sub":"system:serviceaccount:)", NamespaceOf(pod), ":", AccountOf(pod), R"("})");
}

std::string Encode(absl::string_view bytes) { return absl::WebSafeBase64Escape(bytes); }

}  // namespace

absl::StatusOr<std::unique_ptr<TokenCluster>> TokenCluster::Make(int pods, int tokens, absl::Time now) {
  std::unique_ptr<TokenCluster> made(new TokenCluster);
  made->TellPods(pods);
  MESHCA_RETURN_IF_ERROR(made->SignTokens(tokens, now));
  return made;
}

void TokenCluster::TellPods(int pods) {
  directory_.accounts().OnListBegin();
  for (int i = 0; i < kAccounts; ++i) {
    const std::string texts[] = {AccountUidOf(i), NamespaceOf(i), AccountOf(i)};
    directory_.accounts().OnObject(Fields(kubernetes::PodDirectory::AccountPaths().size(), texts));
  }
  directory_.accounts().OnListEnd();
  directory_.pods().OnListBegin();
  for (int i = 0; i < pods; ++i) {
    const std::string texts[] = {PodUid(i), NamespaceOf(i), PodName(i), AccountOf(i), NodeOf(i), "Running"};
    directory_.pods().OnObject(Fields(kubernetes::PodDirectory::PodPaths().size(), texts));
  }
  directory_.pods().OnListEnd();
}

absl::Status TokenCluster::SignTokens(int tokens, absl::Time now) {
  MESHCA_ASSIGN_OR_RETURN(const std::unique_ptr<SoftwareKey> key, SoftwareKey::Generate(KeyType::kRsa2048));
  MESHCA_ASSIGN_OR_RETURN(const std::string members, JwkMembers(key->public_key()));
  MESHCA_ASSIGN_OR_RETURN(Jwks keys, Jwks::Parse(absl::StrCat(R"({"keys":[{"use":"sig","alg":"RS256","kid":")", kKeyId,
                                                              "\",", members, "}]}")));
  keys_ = std::make_shared<const Jwks>(std::move(keys));
  const std::string header = Encode(absl::StrCat(R"({"alg":"RS256","kid":")", kKeyId, R"("})"));
  for (int i = 0; i < tokens; ++i) {
    std::string token = absl::StrCat(header, ".", Encode(Payload(i, now)));
    MESHCA_ASSIGN_OR_RETURN(const std::string signature, key->Sign(token));
    absl::StrAppend(&token, ".", Encode(signature));
    tokens_.push_back(std::move(token));
  }
  return absl::OkStatus();
}

}  // namespace meshca::bench
