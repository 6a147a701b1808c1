// What a client shows of itself, and what it says of files that cannot be shown.
#include "ca/http/client_tls.h"

#include <openssl/ssl.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "ca/base/entropy.h"
#include "ca/http/http_client.h"
#include "ca/http/tls_settings.h"
#include "ca/x509/authority_builder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/ca/http/patience.h"
#include "test/ca/http/scripted_server.h"
#include "test/fakes/temp_folder.h"

namespace meshca::http {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// A root and a leaf of 127.0.0.1 under it, which server and client share.
class ClientTlsTest : public testing::Test {
 protected:
  ClientTlsTest() {
    const TrustDomain domain = TrustDomain::Parse("cluster.local").value();
    const auto root_key = SoftwareKey::Generate(KeyType::kEcP256).value();
    const Certificate root = BuildRoot(domain, *root_key, absl::Now(), absl::Hours(1), SystemEntropy()).value();
    const auto key = SoftwareKey::Generate(KeyType::kEcP256).value();
    ServerCertificateNames names;
    names.ip_addresses = {"127.0.0.1"};
    const Certificate leaf = BuildServerCertificate(domain, key->public_key(), names, root, *root_key, absl::Now(),
                                                    absl::Minutes(1), absl::Minutes(30), SystemEntropy())
                                 .value();
    Write("root.pem", root.pem().text());
    Write("leaf.pem", leaf.pem().text());
    Write("key.pem", std::string(key->ToPkcs8Pem().reveal()));
    Write("root-key.pem", std::string(root_key->ToPkcs8Pem().reveal()));
    Write("text", "no PEM");
    tls_.ca.file = folder_ / "root.pem";
    tls_.certificate.file = folder_ / "leaf.pem";
    tls_.key.file = folder_ / "key.pem";
  }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    std::filesystem::permissions(folder_ / name, std::filesystem::perms::owner_read);
  }
  static PemSource InMemory(const std::string& path) {
    std::ifstream in(path);
    std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    return {"", std::make_shared<const SecretBytes>(SecretBytes(std::move(text)))};
  }
  std::string FaultOf(const ClientTls& tls) { return std::string(CheckClientTls(tls).message()); }

  TempFolder folder_;
  ClientTls tls_;
};

// Serves a connection over TLS, and asks for a certificate under the root.
void ServeOverTls(ScriptedPeer& peer, const std::string& folder) {
  // OpenSSL writes to a client that has ended the connection as well.
  std::signal(SIGPIPE, SIG_IGN);
  const OpenSslPtr<SSL_CTX, SSL_CTX_free> context(SSL_CTX_new(TLS_server_method()));
  SSL_CTX_use_certificate_file(context.get(), (folder + "/leaf.pem").c_str(), SSL_FILETYPE_PEM);
  SSL_CTX_use_PrivateKey_file(context.get(), (folder + "/key.pem").c_str(), SSL_FILETYPE_PEM);
  SSL_CTX_load_verify_file(context.get(), (folder + "/root.pem").c_str());
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  const OpenSslPtr<SSL, SSL_free> ssl(SSL_new(context.get()));
  SSL_set_fd(ssl.get(), peer.fd());
  if (SSL_accept(ssl.get()) != 1) return;
  std::string head;
  char bytes[1024];
  while (!absl::StrContains(head, "\r\n\r\n")) {
    const int count = SSL_read(ssl.get(), bytes, sizeof bytes);
    if (count <= 0) return;
    head.append(bytes, static_cast<size_t>(count));
  }
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
  SSL_write(ssl.get(), answer.data(), static_cast<int>(answer.size()));
  SSL_shutdown(ssl.get());
}

TEST_F(ClientTlsTest, ACertificateIsShownToAServerThatAsksForOne) {
  const ScriptedServer server([this](ScriptedPeer& peer, int) { ServeOverTls(peer, folder_.path()); });
  const auto get = [&server](const ClientTls& tls) {
    ClientRequest request;
    request.url = server.url();
    request.url.https = true;
    return Client::Create({.tls = tls}).value()->Fetch(std::move(request), PatientCall());
  };
  const auto by_files = get(tls_);
  EXPECT_EQ(by_files.status(), absl::OkStatus());
  ClientTls in_memory = tls_;
  in_memory.ca = InMemory(tls_.ca.file);
  in_memory.certificate = InMemory(tls_.certificate.file);
  in_memory.key = InMemory(tls_.key.file);
  EXPECT_EQ(get(in_memory).status(), absl::OkStatus());
  EXPECT_FALSE(get(ClientTls::Believing(tls_.ca.file)).ok());
}

// The kubelet puts a new CA or certificate in the old one's place.
TEST_F(ClientTlsTest, FilesThatChangeCountFromTheNextConnectionOn) {
  const ScriptedServer server([this](ScriptedPeer& peer, int) { ServeOverTls(peer, folder_.path()); });
  Write("ca.pem", "none yet");
  ClientTls tls = tls_;
  tls.ca.file = folder_ / "ca.pem";
  const auto client = Client::Create({.tls = tls}).value();
  const auto get = [&] {
    ClientRequest request;
    request.url = server.url();
    request.url.https = true;
    return client->Fetch(std::move(request), PatientCall()).status();
  };
  EXPECT_THAT(std::string(get().message()), HasSubstr(folder_ / "ca.pem"));
  std::filesystem::rename(folder_ / "root.pem", folder_ / "ca.pem");
  std::filesystem::copy_file(folder_ / "ca.pem", folder_ / "root.pem");
  EXPECT_EQ(get(), absl::OkStatus());
  std::filesystem::remove(folder_ / "ca.pem");
  EXPECT_FALSE(get().ok());
}

TEST_F(ClientTlsTest, WhatCannotBeShownIsNamed) {
  EXPECT_EQ(CheckClientTls(tls_), absl::OkStatus());
  EXPECT_EQ(CheckClientTls({}), absl::OkStatus()) << "the system's certificates";
  const auto with = [this](PemSource ClientTls::*source, const std::string& file) {
    ClientTls tls = tls_;
    (tls.*source).file = folder_ / file;
    return FaultOf(tls);
  };
  EXPECT_THAT(with(&ClientTls::ca, "none"), HasSubstr(folder_ / "none"));
  EXPECT_THAT(with(&ClientTls::ca, "text"), AllOf(HasSubstr(folder_ / "text"), HasSubstr("no certificate in PEM")));
  EXPECT_THAT(with(&ClientTls::certificate, "key.pem"), HasSubstr("no certificate in PEM"));
  EXPECT_THAT(with(&ClientTls::key, "leaf.pem"), HasSubstr("no private key in PEM"));
  EXPECT_THAT(with(&ClientTls::key, "root-key.pem"), AllOf(HasSubstr("root-key.pem is not the key of"),
                                                           HasSubstr(folder_ / "leaf.pem"), Not(HasSubstr("----"))));
  ClientTls in_memory;
  in_memory.ca.bytes = std::make_shared<const SecretBytes>(SecretBytes::CopyOf("hush"));
  EXPECT_EQ(FaultOf(in_memory), "the CA's certificates: holds no certificate in PEM");
}

}  // namespace
}  // namespace meshca::http
