// A server for clients nobody here wrote: gRPC's interop client, malformed frames, floods.
//
//   interop_server [--cert FILE --key FILE] [--no-call-limit] ADDRESS...
//
// Serves the test service, health and reflection on each address, over TLS where a certificate is given (not on Unix
// sockets); prints "listening ADDRESS" for each and "ready". SIGUSR1 makes it print "stats" and its counters as JSON,
// SIGTERM ends it gracefully.
#include <openssl/pem.h>
#include <signal.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "ca/base/process_limits.h"
#include "ca/base/status.h"
#include "ca/rpc/health.h"
#include "ca/rpc/reflection.h"
#include "ca/rpc/server.h"
#include "test/interop/rpc/test_service.h"

namespace meshca::rpc {
namespace {

sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGUSR1);
  return signals;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

absl::StatusOr<std::shared_ptr<TlsContext>> LoadTls(const std::string& cert_file, const std::string& key_file) {
  TlsOptions options;
  MESHCA_ASSIGN_OR_RETURN(options.certificate_chain_der, CertificatesFromPem(ReadFile(cert_file)));
  const std::string pem = ReadFile(key_file);
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  options.private_key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  return TlsContext::Create(std::move(options));
}

std::string StatsJson(const Server& server) {
  const StatsSnapshot stats = server.stats();
  std::string json =
      absl::StrCat("{\"connections_open\":", stats.connections_open, ",\"streams_open\":", stats.streams_open,
                   ",\"handshakes_ok\":", stats.handshakes_ok, ",\"handshakes_failed\":", stats.handshakes_failed,
                   ",\"handshakes_resumed\":", stats.handshakes_resumed, ",\"buffered_bytes\":", stats.buffered_bytes,
                   ",\"limits\":{");
  for (size_t i = 0; i < stats.limits.size(); ++i) {
    absl::StrAppend(&json, i == 0 ? "\"" : ",\"", LimitName(static_cast<LimitKind>(i)), "\":", stats.limits[i]);
  }
  return json + "}}";
}

int Run(const std::vector<std::string>& addresses, const std::shared_ptr<TlsContext>& tls, bool call_limit) {
  Router router;
  auto health = HealthService::Create();
  AddTestService(router);
  health->AddTo(router);
  AddReflection(router);
  auto shared = std::make_shared<const Router>(std::move(router));

  ServerOptions options;
  if (!call_limit) options.source.calls = {};
  auto server = Server::Create(options);
  if (!server.ok()) return 1;
  for (const std::string& address : addresses) {
    ListenerOptions listener;
    listener.address = address;
    listener.router = shared;
    if (!absl::StartsWith(address, "unix:")) listener.tls = tls;
    auto bound = (*server)->AddListener(std::move(listener));
    if (!bound.ok()) {
      std::cerr << bound.status() << std::endl;
      return 1;
    }
    std::cout << "listening " << *bound << std::endl;
  }
  (*server)->Start();
  std::cout << "ready" << std::endl;

  const sigset_t signals = Signals();
  for (int signal = 0; sigwait(&signals, &signal) == 0 && signal == SIGUSR1;) {
    std::cout << "stats " << StatsJson(**server) << std::endl;
  }
  health->Retire();
  (*server)->Shutdown(absl::Seconds(5));
  std::cout << "stopped" << std::endl;
  return 0;
}

}  // namespace
}  // namespace meshca::rpc

int main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  const sigset_t signals = meshca::rpc::Signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // Before threads start: they inherit it.
  meshca::IgnoreBrokenPipes();
  meshca::RaiseDescriptorLimit();

  std::vector<std::string> addresses;
  std::string cert;
  std::string key;
  bool call_limit = true;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--cert" && i + 1 < argc) {
      cert = argv[++i];
    } else if (word == "--key" && i + 1 < argc) {
      key = argv[++i];
    } else if (word == "--no-call-limit") {
      call_limit = false;
    } else {
      addresses.push_back(word);
    }
  }
  std::shared_ptr<meshca::rpc::TlsContext> tls;
  if (!cert.empty()) {
    auto loaded = meshca::rpc::LoadTls(cert, key);
    if (!loaded.ok()) {
      std::cerr << loaded.status() << std::endl;
      return 1;
    }
    tls = *std::move(loaded);
  }
  return meshca::rpc::Run(addresses, tls, call_limit);
}
