// The promise of speed: CPU time of a running `meshca serve` per durably recorded certificate, as a multiple of
// OpenSSL's P-256 verify + sign measured in the same run, between the batches. test/bench/issuance.py starts the
// server, pins it and this program to a core each, and reads the JSON object printed here.
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/check.h"
#include "ca/base/openssl_ptr.h"
#include "istio/v1/auth/ca.pb.h"
#include "test/bench/arithmetic.h"
#include "test/bench/csr_factory.h"
#include "test/bench/grpc_load.h"

namespace meshca::bench {
namespace {

using RequestPtr = OpenSslPtr<X509_REQ, X509_REQ_free>;
using StorePtr = OpenSslPtr<X509_STORE, X509_STORE_free>;
using StoreContextPtr = OpenSslPtr<X509_STORE_CTX, X509_STORE_CTX_free>;

constexpr int kVerifyOneIn = 100;
constexpr absl::Duration kYardstick = absl::Milliseconds(400);

struct Options {
  LoadOptions load;
  int server_pid = 0;
  std::string token_file;
  std::string spiffe_id;
  int requests = 4000;  // a round
  int rounds = 5;
};

[[noreturn]] void Fail(const std::string& what) {
  std::cerr << what << std::endl;
  std::exit(1);
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in.is_open()) Fail("cannot read " + path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// User and system time of the process so far, all threads.
absl::Duration CpuTime(int pid) {
  const std::string stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  std::istringstream fields(stat.substr(stat.rfind(')') + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  int64_t user = 0;
  int64_t system = 0;
  fields >> user >> system;
  return absl::Seconds(static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK)));
}

X509Ptr ReadCertificate(const std::string& pem) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) Fail("the server sent something else than a certificate");
  return certificate;
}

// One answer is what was asked for: a chain up to the root for the key of this CSR.
void Verify(const std::string& response, const std::string& csr, X509* root) {
  istio::v1::auth::IstioCertificateResponse chain;
  if (!chain.ParseFromString(response) || chain.cert_chain_size() < 3) Fail("an answer without a chain");
  X509Ptr leaf = ReadCertificate(chain.cert_chain(0));
  X509Ptr issuing = ReadCertificate(chain.cert_chain(1));
  BioPtr bio(BIO_new_mem_buf(csr.data(), static_cast<int>(csr.size())));
  RequestPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (EVP_PKEY_eq(X509_get0_pubkey(leaf.get()), X509_REQ_get0_pubkey(request.get())) != 1) Fail("somebody else's key");
  StorePtr store(X509_STORE_new());
  X509_STORE_add_cert(store.get(), root);
  STACK_OF(X509)* untrusted = sk_X509_new_null();
  sk_X509_push(untrusted, issuing.get());
  StoreContextPtr context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), untrusted);
  if (X509_verify_cert(context.get()) != 1) Fail("a chain does not verify");
  sk_X509_free(untrusted);
}

std::vector<std::string> Requests(const std::vector<std::string>& csrs) {
  std::vector<std::string> requests;
  requests.reserve(csrs.size());
  for (const std::string& csr : csrs) {
    istio::v1::auth::IstioCertificateRequest request;
    request.set_csr(csr);
    requests.push_back(request.SerializeAsString());
  }
  return requests;
}

template <typename T>
T Quantile(std::vector<T> values, double q) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(q * static_cast<double>(values.size())))];
}

int Run(Options options) {
  options.load.method = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
  options.load.authorization = "Bearer " + ReadFile(options.token_file);
  X509Ptr root = ReadCertificate(ReadFile(options.load.root_file));
  auto load = GrpcLoad::Connect(options.load);
  if (!load.ok()) Fail(load.status().ToString());
  if (const auto warm = (*load)->Run(Requests(MakeCsrs(options.requests / 4, options.spiffe_id))); !warm.ok()) {
    Fail(warm.status().ToString());
  }

  std::vector<double> ratios;
  std::vector<double> cpu_us;
  std::vector<double> rates;
  std::vector<absl::Duration> latencies;
  std::vector<double> yardsticks = {absl::ToDoubleMicroseconds(P256VerifyAndSign(kYardstick))};
  for (int round = 0; round < options.rounds; ++round) {
    const std::vector<std::string> csrs = MakeCsrs(options.requests, options.spiffe_id);
    const std::vector<std::string> requests = Requests(csrs);
    const absl::Duration before = CpuTime(options.server_pid);
    const auto result = (*load)->Run(requests);
    const absl::Duration used = CpuTime(options.server_pid) - before;
    if (!result.ok()) Fail(result.status().ToString());
    for (size_t i = 0; i < csrs.size(); i += kVerifyOneIn) Verify(result->responses[i], csrs[i], root.get());

    yardsticks.push_back(absl::ToDoubleMicroseconds(P256VerifyAndSign(kYardstick)));
    const double arithmetic = (yardsticks[round] + yardsticks[round + 1]) / 2;
    cpu_us.push_back(absl::ToDoubleMicroseconds(used) / options.requests);
    ratios.push_back(cpu_us.back() / arithmetic);
    rates.push_back(options.requests / absl::ToDoubleSeconds(result->wall));
    latencies.insert(latencies.end(), result->latencies.begin(), result->latencies.end());
  }
  std::cout << nlohmann::json{{"ratio", Quantile(ratios, 0.5)},
                              {"ratios", ratios},
                              {"cpu_us", Quantile(cpu_us, 0.5)},
                              {"arithmetic_us", Quantile(yardsticks, 0.5)},
                              {"per_second", Quantile(rates, 0.5)},
                              {"p50_ms", absl::ToDoubleMilliseconds(Quantile(latencies, 0.5))},
                              {"p99_ms", absl::ToDoubleMilliseconds(Quantile(latencies, 0.99))},
                              {"certificates", options.requests * options.rounds}}
            << std::endl;
  return 0;
}

}  // namespace
}  // namespace meshca::bench

int main(int argc, char** argv) {
  meshca::bench::Options options;
  CLI::App app("CPU time of a meshca server per certificate; see test/bench/README.md", "issuance_bench");
  app.add_option("--host", options.load.host)->required();
  app.add_option("--port", options.load.port)->required();
  app.add_option("--root", options.load.root_file)->required();
  app.add_option("--token-file", options.token_file)->required();
  app.add_option("--id", options.spiffe_id)->required();
  app.add_option("--server-pid", options.server_pid)->required();
  app.add_option("--connections", options.load.connections)->check(CLI::PositiveNumber);
  app.add_option("--in-flight", options.load.in_flight)->check(CLI::PositiveNumber);
  app.add_option("--requests", options.requests)->check(CLI::PositiveNumber);
  app.add_option("--rounds", options.rounds)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  return meshca::bench::Run(std::move(options));
}
