// Whether an answer is what was asked for: fast and wrong does not count.
#ifndef MESHCA_TEST_BENCH_CHAIN_CHECK_H_
#define MESHCA_TEST_BENCH_CHAIN_CHECK_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/base/openssl_ptr.h"

namespace meshca::bench {

class ChainCheck {
 public:
  // `root_file`: PEM certificates that are trusted. `spiffe_id`: what each leaf must be for.
  // InvalidArgument: no certificate there.
  static absl::StatusOr<ChainCheck> Create(const std::string& root_file, std::string spiffe_id);

  // `response` is a serialised IstioCertificateResponse, `csr` the PEM it answers. Ok: its first certificate is for the
  // CSR's key, names the SPIFFE ID and nothing else as URI, and leads by way of the others to a trusted one.
  // Errors: DataLoss, which says what is wrong.
  absl::Status Check(absl::string_view response, const std::string& csr) const;

 private:
  using StorePtr = OpenSslPtr<X509_STORE, X509_STORE_free>;
  ChainCheck(StorePtr store, std::string spiffe_id) : store_(std::move(store)), spiffe_id_(std::move(spiffe_id)) {}
  absl::Status CheckName(X509* leaf) const;

  StorePtr store_;
  std::string spiffe_id_;
};

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_CHAIN_CHECK_H_
