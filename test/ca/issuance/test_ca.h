// An authority, a scripted store and requests for the tests of this folder.
#ifndef MESHCA_TEST_CA_ISSUANCE_TEST_CA_H_
#define MESHCA_TEST_CA_ISSUANCE_TEST_CA_H_

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ca/authority/authority_snapshot.h"
#include "ca/base/entropy.h"
#include "ca/base/mutex.h"
#include "ca/issuance/issuance_request.h"
#include "ca/issuance/issuance_store.h"
#include "ca/x509/authority_builder.h"
#include "ca/x509/der.h"
#include "ca/x509/signature_algorithm.h"
#include "test/ca/spiffe/test_domain.h"

namespace meshca {

// What a test CA signs with: a new root and issuing authority each time.
inline std::shared_ptr<const AuthoritySnapshot> NewSnapshot(absl::Time now, uint64_t revision = 1) {
  std::shared_ptr<const SoftwareKey> root_key = *SoftwareKey::Generate(KeyType::kEcP256);
  std::shared_ptr<const SoftwareKey> issuing_key = *SoftwareKey::Generate(KeyType::kEcP256);
  auto issuing = std::make_shared<SigningAuthority>();
  const Certificate root = *BuildRoot(TestDomain(), *root_key, now, absl::Hours(24 * 3650), SystemEntropy());
  issuing->certificate = *BuildIssuing(TestDomain(), issuing_key->public_key(), root, *root_key, now,
                                       absl::Hours(24 * 30), SystemEntropy());
  issuing->id = issuing->certificate.spki_sha256_hex();
  issuing->state = AuthorityState::kActive;
  issuing->root_id = root.spki_sha256_hex();
  issuing->key = issuing_key;
  auto snapshot = std::make_shared<AuthoritySnapshot>();
  snapshot->revision = revision;
  snapshot->issuing = issuing;
  snapshot->bundle = std::make_shared<TrustBundle>(TrustBundle{TestDomain(), revision, {root}});
  snapshot->chain_tail = {issuing->certificate};
  return snapshot;
}

class TestSnapshots final : public AuthoritySnapshots {
 public:
  explicit TestSnapshots(std::shared_ptr<const AuthoritySnapshot> first) : current_(std::move(first)) {}
  std::shared_ptr<const AuthoritySnapshot> Current() const override {
    MutexLock lock(mutex_);
    return current_;
  }
  void AddListener(Listener) override {}
  void Publish(std::shared_ptr<const AuthoritySnapshot> next) {
    MutexLock lock(mutex_);
    current_ = std::move(next);
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const AuthoritySnapshot> current_ ABSL_GUARDED_BY(mutex_);
};

// Answers each Append with the next of `script` (Ok when it has run out), at once or, while held, on Release.
class ScriptedStore final : public IssuanceStore {
 public:
  void Answer(std::vector<absl::Status> script) {
    MutexLock lock(mutex_);
    script_.assign(script.begin(), script.end());
  }
  // Called with each record before its answer.
  void OnAppend(std::function<void(const IssuanceRecord&)> hook) {
    MutexLock lock(mutex_);
    hook_ = std::move(hook);
  }
  void Hold() {
    MutexLock lock(mutex_);
    hold_ = true;
  }
  // Runs what was held, on the caller's thread.
  void Release() {
    std::vector<std::pair<absl::Status, AppendDone>> held;
    {
      MutexLock lock(mutex_);
      hold_ = false;
      held.swap(held_);
    }
    for (auto& [status, done] : held) std::move(done)(status);
  }
  void WaitForHeld(size_t count) {
    MutexLock lock(mutex_);
    while (held_.size() < count) changed_.Wait(mutex_);
  }
  std::vector<IssuanceRecord> records() const {
    MutexLock lock(mutex_);
    return records_;
  }

  // How many records came together, each time that some did.
  std::vector<size_t> together() const {
    MutexLock lock(mutex_);
    return together_;
  }

  void AppendTogether(std::vector<Appended> records) override {
    {
      MutexLock lock(mutex_);
      together_.push_back(records.size());
    }
    IssuanceStore::AppendTogether(std::move(records));
  }
  void Append(std::shared_ptr<const IssuanceRecord> shared, AppendDone done) override {
    const IssuanceRecord& record = *shared;
    absl::Status status;
    std::function<void(const IssuanceRecord&)> hook;
    {
      MutexLock lock(mutex_);
      if (!script_.empty()) {
        status = script_.front();
        script_.pop_front();
      }
      records_.push_back(record);
      hook = hook_;
      if (hold_) {
        held_.emplace_back(status, std::move(done));
        changed_.NotifyAll();
        return;
      }
    }
    if (hook) hook(record);
    std::move(done)(status);
  }
  // Among all that were given to it.
  absl::StatusOr<IssuanceRecord> Find(const SerialNumber& serial) override {
    MutexLock lock(mutex_);
    for (const IssuanceRecord& record : records_) {
      if (record.serial == serial) return record;
    }
    return absl::NotFoundError("");
  }
  void Revoke(const SerialNumber& serial) {
    MutexLock lock(mutex_);
    for (IssuanceRecord& record : records_) {
      if (record.serial == serial) record.revoked_at = record.issued_at;
    }
  }
  absl::Status List(const IssuanceFilter&, absl::FunctionRef<bool(const IssuanceRecord&)>) override {
    return absl::OkStatus();
  }
  absl::StatusOr<IssuanceRecord> JudgePresented(const PresentedCertificate&,
                                                const std::shared_ptr<const TrustedOrigins>&) override {
    return absl::UnimplementedError("JudgePresented");
  }
  absl::StatusOr<uint64_t> CountIssuances() override { return records().size(); }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<absl::Status> script_ ABSL_GUARDED_BY(mutex_);
  std::function<void(const IssuanceRecord&)> hook_ ABSL_GUARDED_BY(mutex_);
  bool hold_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::pair<absl::Status, AppendDone>> held_ ABSL_GUARDED_BY(mutex_);
  std::vector<IssuanceRecord> records_ ABSL_GUARDED_BY(mutex_);
  std::vector<size_t> together_ ABSL_GUARDED_BY(mutex_);
};

// What a CSR asks for.
struct Asks {
  std::vector<std::string> uris;
  std::vector<std::string> dns_names;
  std::vector<std::string> emails;
  bool ca = false;
};

// A request in DER, by our own writer: OpenSSL has its say in test/ca/x509.
inline std::string MakeCsr(const SoftwareKey& key, const Asks& asks) {
  const auto extension = [](absl::string_view oid, const std::string& value) {
    return der::MakeElement(der::kSequence,
                            der::MakeElement(der::kOid, oid) + der::MakeElement(der::kOctetString, value));
  };
  std::string names, extensions, attributes;
  for (const std::string& uri : asks.uris) der::AppendElement(der::Context(6), uri, names);
  for (const std::string& dns : asks.dns_names) der::AppendElement(der::Context(2), dns, names);
  for (const std::string& email : asks.emails) der::AppendElement(der::Context(1), email, names);
  if (!names.empty()) extensions += extension("\x55\x1d\x11", der::MakeElement(der::kSequence, names));
  if (asks.ca) extensions += extension("\x55\x1d\x13", std::string("\x30\x03\x01\x01\xff", 5));
  if (!extensions.empty()) {
    const std::string request = der::MakeElement(der::kSet, der::MakeElement(der::kSequence, extensions));
    attributes =
        der::MakeElement(der::kSequence, der::MakeElement(der::kOid, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e") + request);
  }
  const std::string info =
      der::MakeElement(der::kSequence, std::string("\x02\x01\x00\x30\x00", 5) + std::string(key.public_key().spki()) +
                                           der::MakeElement(der::ContextConstructed(0), attributes));
  const std::string bits = std::string(1, '\0') + *key.Sign(info);
  return der::MakeElement(der::kSequence,
                          info + std::string(key.signature_algorithm()) + der::MakeElement(der::kBitString, bits));
}

inline SpiffeId Id(absl::string_view path) { return *SpiffeId::FromParts(TestDomain(), path); }

// A caller that may hold /ns/default/sa/web and the DNS name web.default.svc.
inline CallerIdentity WebCaller() {
  CallerIdentity caller;
  caller.method = AuthMethod::kJwt;
  caller.subject = "jwt test sub=web";
  caller.ids = {Id("/ns/default/sa/web")};
  caller.dns_names = {"web.default.svc"};
  caller.instance = "instance-1";
  caller.node = "node-1";
  return caller;
}

inline SubmittedRequest WebRequest(const SoftwareKey& key,
                                   const Asks& asks = {{"spiffe://cluster.local/ns/default/sa/web"}, {}, {}, false}) {
  SubmittedRequest request;
  request.caller = WebCaller();
  request.csr = MakeCsr(key, asks);
  return request;
}

}  // namespace meshca

#endif  // MESHCA_TEST_CA_ISSUANCE_TEST_CA_H_
