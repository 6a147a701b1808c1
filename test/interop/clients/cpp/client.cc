// A workload in C++: gRPC C++ with the stubs of proto_grpc, and OpenSSL to make the CSR and verify the chain.
#include <grpcpp/grpcpp.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ca/base/openssl_ptr.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/secret/v3/sds.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "istio/v1/auth/ca.grpc.pb.h"

namespace {

using meshca::BioPtr;
using meshca::EvpPkeyPtr;
using meshca::OpenSslPtr;
using meshca::X509Ptr;

using RequestPtr = OpenSslPtr<X509_REQ, X509_REQ_free>;
using StorePtr = OpenSslPtr<X509_STORE, X509_STORE_free>;
using StoreContextPtr = OpenSslPtr<X509_STORE_CTX, X509_STORE_CTX_free>;

constexpr char kSecretType[] = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

[[noreturn]] void Fail(const std::string& what) {
  std::cerr << what << std::endl;
  std::exit(1);
}

void Demand(bool held, const std::string& what) {
  if (!held) Fail(what);
}

void Demand(const grpc::Status& status, const std::string& call) {
  if (!status.ok()) Fail(call + ": code " + std::to_string(status.error_code()) + ": " + status.error_message());
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  Demand(in.is_open(), "cannot read " + path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::string Drain(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

X509Ptr ReadCertificate(const std::string& pem) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  Demand(certificate != nullptr, "not a certificate: " + pem);
  return certificate;
}

std::string MakeCsr(EVP_PKEY* key, const std::string& id) {
  RequestPtr request(X509_REQ_new());
  const std::string value = "critical,URI:" + id;
  X509_EXTENSION* name = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, value.c_str());
  STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
  sk_X509_EXTENSION_push(extensions, name);
  Demand(X509_REQ_add_extensions(request.get(), extensions) == 1 && X509_REQ_set_pubkey(request.get(), key) == 1 &&
             X509_REQ_sign(request.get(), key, EVP_sha256()) > 0,
         "OpenSSL made no CSR");
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_REQ(bio.get(), request.get());
  return Drain(bio.get());
}

// Validates the path as a TLS server would; returns the leaf.
X509Ptr Verify(const std::vector<std::string>& elements, const std::string& roots) {
  StorePtr store(X509_STORE_new());
  X509Ptr root = ReadCertificate(roots);
  X509_STORE_add_cert(store.get(), root.get());
  STACK_OF(X509)* untrusted = sk_X509_new_null();
  for (size_t i = 1; i + 1 < elements.size(); ++i) sk_X509_push(untrusted, ReadCertificate(elements[i]).release());
  X509Ptr leaf = ReadCertificate(elements[0]);
  StoreContextPtr context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), untrusted);
  X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_CLIENT);
  X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context.get()), X509_V_FLAG_X509_STRICT);
  Demand(X509_verify_cert(context.get()) == 1,
         std::string("OpenSSL: ") + X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
  sk_X509_pop_free(untrusted, X509_free);
  return leaf;
}

std::vector<std::string> UriNames(X509* leaf) {
  std::vector<std::string> uris;
  OpenSslPtr<GENERAL_NAMES, GENERAL_NAMES_free> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(leaf, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    uris.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)), ASN1_STRING_length(uri));
  }
  return uris;
}

std::string SerialHex(X509* leaf) {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(leaf);
  std::string hex;
  for (int i = 0; i < ASN1_STRING_length(serial); ++i) {
    char byte[3];
    std::snprintf(byte, sizeof(byte), "%02x", ASN1_STRING_get0_data(serial)[i]);
    hex += byte;
  }
  return std::string(hex.size() < 32 ? 32 - hex.size() : 0, '0') + hex;
}

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
}

// Subscribes, acknowledges the first answer, and leaves.
envoy::service::discovery::v3::DiscoveryResponse FirstSecret(const std::shared_ptr<grpc::Channel>& channel,
                                                             const std::string& name) {
  auto stub = envoy::service::secret::v3::SecretDiscoveryService::NewStub(channel);
  grpc::ClientContext context;
  SetDeadline(context);
  auto stream = stub->StreamSecrets(&context);
  envoy::service::discovery::v3::DiscoveryRequest request;
  request.mutable_node()->set_id("cpp");
  request.set_type_url(kSecretType);
  request.add_resource_names(name);
  envoy::service::discovery::v3::DiscoveryResponse response;
  const bool answered = stream->Write(request) && stream->Read(&response);
  if (!answered) Demand(stream->Finish(), "StreamSecrets");
  request.clear_node();
  request.set_version_info(response.version_info());
  request.set_response_nonce(response.nonce());
  Demand(stream->Write(request) && stream->WritesDone(), "StreamSecrets ended before the acknowledgement");
  Demand(stream->Finish(), "StreamSecrets");
  return response;
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> options;
  for (int i = 1; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = ReadFile(options["--ca"]);
  auto channel = grpc::CreateChannel(options["--server"], grpc::SslCredentials(tls));

  grpc::health::v1::HealthCheckResponse health;
  {
    grpc::ClientContext context;
    SetDeadline(context);
    Demand(grpc::health::v1::Health::NewStub(channel)->Check(&context, {}, &health), "Check");
  }

  grpc::health::v1::HealthCheckResponse unix_health;
  {
    grpc::ClientContext context;
    SetDeadline(context);
    auto local = grpc::CreateChannel("unix:" + options["--unix"], grpc::InsecureChannelCredentials());
    Demand(grpc::health::v1::Health::NewStub(local)->Check(&context, {}, &unix_health), "Check by the Unix socket");
  }

  EvpPkeyPtr key(EVP_EC_gen("P-256"));
  istio::v1::auth::IstioCertificateResponse certificate;
  {
    grpc::ClientContext context;
    SetDeadline(context);
    context.AddMetadata("authorization", "Bearer " + options["--token"]);
    istio::v1::auth::IstioCertificateRequest request;
    request.set_csr(MakeCsr(key.get(), options["--id"]));
    request.set_validity_duration(3600);
    auto stub = istio::v1::auth::IstioCertificateService::NewStub(channel);
    Demand(stub->CreateCertificate(&context, request, &certificate), "CreateCertificate");
  }
  const std::vector<std::string> elements(certificate.cert_chain().begin(), certificate.cert_chain().end());
  X509Ptr leaf = Verify(elements, tls.pem_root_certs);

  BioPtr key_pem(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  tls.pem_private_key = Drain(key_pem.get());
  for (size_t i = 0; i + 1 < elements.size(); ++i) tls.pem_cert_chain += elements[i];
  const auto response = FirstSecret(grpc::CreateChannel(options["--sds"], grpc::SslCredentials(tls)), "ROOTCA");
  envoy::extensions::transport_sockets::tls::v3::Secret secret;
  Demand(response.resources_size() == 1 && response.resources(0).UnpackTo(&secret), "the answer holds no secret");
  const auto& trusted = secret.validation_context().trusted_ca();

  std::cout << nlohmann::json{{"health", grpc::health::v1::HealthCheckResponse::ServingStatus_Name(health.status())},
                              {"unix_health",
                               grpc::health::v1::HealthCheckResponse::ServingStatus_Name(unix_health.status())},
                              {"spiffe_ids", UriNames(leaf.get())},
                              {"serial", SerialHex(leaf.get())},
                              {"elements", elements.size()},
                              {"verified_by", "OpenSSL"},
                              {"secret", secret.name()},
                              {"secret_version", response.version_info()},
                              {"secret_roots", trusted.inline_bytes() + trusted.inline_string()}}
            << std::endl;
  return 0;
}
