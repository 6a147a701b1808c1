#include "test/bench/csr_command.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
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
  bool yardstick = true;
  bool json = true;
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

  nlohmann::json rounds = nlohmann::json::array();
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
    const double cpu_us = absl::ToDoubleMicroseconds(used) / options.requests;
    rounds.push_back({{"requests", options.requests},
                      {"ok", options.requests},
                      {"seconds", absl::ToDoubleSeconds(result->wall)},
                      {"per_second", options.requests / absl::ToDoubleSeconds(result->wall)},
                      {"cpu_us", cpu_us},
                      {"cpu_seconds", absl::ToDoubleSeconds(used)},
                      {"arithmetic_us", arithmetic},
                      {"ratio", cpu_us / arithmetic},
                      {"latency_ms",
                       {{"p50", absl::ToDoubleMilliseconds(Quantile(result->latencies, 0.5))},
                        {"p90", absl::ToDoubleMilliseconds(Quantile(result->latencies, 0.9))},
                        {"p99", absl::ToDoubleMilliseconds(Quantile(result->latencies, 0.99))},
                        {"p999", absl::ToDoubleMilliseconds(Quantile(result->latencies, 0.999))},
                        {"max", absl::ToDoubleMilliseconds(Quantile(result->latencies, 1))}}}});
  }
  std::cout << nlohmann::json{{"rounds", rounds}} << std::endl;
  return 0;
}

}  // namespace

CLI::App* AddCsrCommand(CLI::App& tool, int& exit_code) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = tool.add_subcommand("csr", "Certificate requests: how many a second, and what each costs");
  command
      ->add_option_function<std::string>(
          "--address",
          [options](const std::string& address) {
            const size_t colon = address.rfind(':');
            if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &options->load.port)) {
              throw CLI::ValidationError("--address", "\"" + address + "\" is not HOST:PORT");
            }
            options->load.host = address.substr(0, colon);
          },
          "HOST:PORT of the CSR service")
      ->required();
  command->add_option("--root", options->load.root_file, "PEM of the server's root")->required();
  command->add_option("--token-file", options->token_file, "Bearer token of the caller")->required();
  command->add_option("--id", options->spiffe_id, "SPIFFE ID to ask for")->required();
  command->add_option("--server-pid", options->server_pid, "Process whose CPU time counts")->required();
  command->add_option("--connections", options->load.connections)->check(CLI::PositiveNumber)->capture_default_str();
  command->add_option("--in-flight", options->load.in_flight)->check(CLI::PositiveNumber)->capture_default_str();
  command->add_option("--requests", options->requests, "A round")->check(CLI::PositiveNumber)->capture_default_str();
  command->add_flag("--yardstick", options->yardstick, "Measure P-256 verify + sign around each round");
  command->add_flag("--json", options->json, "Report as JSON");
  command->add_option("--rounds", options->rounds)->check(CLI::PositiveNumber)->capture_default_str();
  command->callback([options, &exit_code] { exit_code = Run(*options); });
  return command;
}

}  // namespace meshca::bench
