#include "test/bench/csr_factory.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>
#include <thread>

#include "ca/base/check.h"
#include "ca/base/cpu_count.h"
#include "ca/base/openssl_ptr.h"

namespace meshca::bench {
namespace {

EvpPkeyPtr MakeKey(KeyType type) {
  switch (type) {
    case KeyType::kEcP256: return EvpPkeyPtr(EVP_EC_gen("P-256"));
    case KeyType::kEcP384: return EvpPkeyPtr(EVP_EC_gen("P-384"));
    case KeyType::kRsa2048: return EvpPkeyPtr(EVP_RSA_gen(2048));
    case KeyType::kEd25519: return EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  }
  return nullptr;
}

const EVP_MD* DigestFor(KeyType type) {
  if (type == KeyType::kEd25519) return nullptr;  // the algorithm brings its own
  return type == KeyType::kEcP384 ? EVP_sha384() : EVP_sha256();
}

std::string MakeCsr(EVP_PKEY* key, const EVP_MD* digest, X509_EXTENSION* name) {
  X509ReqPtr request(X509_REQ_new());
  STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
  sk_X509_EXTENSION_push(extensions, name);
  MESHCA_CHECK(X509_REQ_add_extensions(request.get(), extensions) == 1);
  sk_X509_EXTENSION_free(extensions);
  MESHCA_CHECK(X509_REQ_set_pubkey(request.get(), key) == 1);
  MESHCA_CHECK(X509_REQ_sign(request.get(), key, digest) > 0);
  BioPtr bio(BIO_new(BIO_s_mem()));
  MESHCA_CHECK(PEM_write_bio_X509_REQ(bio.get(), request.get()) == 1);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

X509ExtensionPtr NameExtension(const std::string& spiffe_id) {
  const std::string value = "critical,URI:" + spiffe_id;
  X509ExtensionPtr name(X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, value.c_str()));
  MESHCA_CHECK(name != nullptr);
  return name;
}

std::string MakeOne(X509_EXTENSION* name, KeyType type) {
  const EvpPkeyPtr key = MakeKey(type);
  MESHCA_CHECK(key != nullptr);
  return MakeCsr(key.get(), DigestFor(type), name);
}

// Fills every `step`-th place of `csrs` from `first` on.
void Fill(std::vector<std::string>& csrs, size_t first, size_t step, const std::string& spiffe_id, KeyType type) {
  const X509ExtensionPtr name = NameExtension(spiffe_id);
  for (size_t i = first; i < csrs.size(); i += step) csrs[i] = MakeOne(name.get(), type);
}

std::vector<std::string> MakeUnique(size_t count, const std::string& spiffe_id, KeyType type) {
  std::vector<std::string> csrs(count);
  const size_t step = std::min<size_t>(CpuCount(), std::max<size_t>(count, 1));
  std::vector<std::thread> threads;
  for (size_t first = 1; first < step; ++first) {
    threads.emplace_back([&, first] { Fill(csrs, first, step, spiffe_id, type); });
  }
  Fill(csrs, 0, step, spiffe_id, type);
  for (std::thread& thread : threads) thread.join();
  return csrs;
}

}  // namespace

const std::map<std::string, KeyType>& KeyTypes() {
  static const auto* const kTypes = new std::map<std::string, KeyType>{{"ec-p256", KeyType::kEcP256},
                                                                       {"ec-p384", KeyType::kEcP384},
                                                                       {"rsa-2048", KeyType::kRsa2048},
                                                                       {"ed25519", KeyType::kEd25519}};
  return *kTypes;
}

std::vector<std::string> MakeCsrs(size_t count, const std::string& spiffe_id, KeyType key_type) {
  if (key_type != KeyType::kRsa2048) return MakeUnique(count, spiffe_id, key_type);
  static std::vector<std::string> pool;
  static std::string pool_id;
  if (pool_id != spiffe_id) pool.clear();
  pool_id = spiffe_id;
  if (pool.size() < std::min(count, kRsaKeysMax)) {
    std::vector<std::string> more = MakeUnique(std::min(count, kRsaKeysMax) - pool.size(), spiffe_id, key_type);
    std::move(more.begin(), more.end(), std::back_inserter(pool));
  }
  std::vector<std::string> csrs(count);
  for (size_t i = 0; i < count; ++i) csrs[i] = pool[i % pool.size()];
  return csrs;
}

std::function<std::string()> CsrMaker(const std::string& spiffe_id, KeyType key_type) {
  if (key_type == KeyType::kRsa2048) {
    return [pool = MakeCsrs(kRsaKeysMax, spiffe_id, key_type), next = size_t{0}]() mutable {
      return pool[next++ % pool.size()];
    };
  }
  const std::shared_ptr<X509_EXTENSION> name(NameExtension(spiffe_id).release(), X509_EXTENSION_free);
  return [name, key_type] { return MakeOne(name.get(), key_type); };
}

}  // namespace meshca::bench
