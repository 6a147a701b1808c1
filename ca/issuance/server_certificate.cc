#include "ca/issuance/server_certificate.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/authority/cross_certificate.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/base/typed_address.h"
#include "ca/base/utc_text.h"
#include "ca/x509/dns_name.h"

namespace meshca {
namespace {

constexpr int kAttemptsMax = 4;
constexpr absl::Duration kRetryAfter = absl::Seconds(5);
// However short-lived the authority is.
constexpr absl::Duration kRenewNotBefore = absl::Seconds(1);
constexpr char kServerPath[] = "/meshca/server";

// Waits for the store's word: the certificate must not be shown before it is remembered.
absl::Status AppendAndWait(IssuanceStore& store, IssuanceRecord record) {
  Mutex mutex;
  CondVar answered;
  std::optional<absl::Status> answer;
  store.Append(std::move(record), [&](absl::Status status) {
    MutexLock lock(mutex);
    answer = std::move(status);
    answered.NotifyAll();  // Under the lock: the waiter's variables end as soon as it can see the answer.
  });
  MutexLock lock(mutex);
  while (!answer.has_value()) answered.Wait(mutex);
  return *answer;
}

absl::StatusOr<IssuanceRecord> MakeRecord(const Certificate& leaf, const std::string& authority_id, absl::Time now) {
  IssuanceRecord record;
  if (!leaf.serial().has_value()) return absl::InternalError("server certificate: its serial number is not meshca's");
  record.serial = *leaf.serial();
  MESHCA_ASSIGN_OR_RETURN(record.spiffe_id, leaf.spiffe_id());
  record.key_sha256 = leaf.public_key().sha256();
  record.certificate_sha256 = leaf.sha256();
  record.authority_id = authority_id;
  record.not_before = leaf.validity().not_before;
  record.not_after = leaf.validity().not_after;
  record.issued_at = now;
  record.method = AuthMethod::kServerUser;
  record.caller = "meshca";
  record.origin = {OriginKind::kPublished, "meshca"};
  return record;
}

absl::StatusOr<Certificate> FindRoot(const AuthoritySnapshot& snapshot, absl::string_view id) {
  for (const Certificate& root : snapshot.bundle->roots) {
    if (root.spki_sha256_hex() == id) return root;
  }
  return absl::InternalError(absl::StrCat("server certificate: root ", id, " is not in the trust bundle"));
}

// What follows the leaf: the authorities, then the self-signed roots they lead to, so that a client which holds no more
// than a fingerprint finds it. While a rotation runs those are two, and both stand behind the cross-certificate,
// whether the leaves' chains carry it or not: some verifiers stop at the first self-signed certificate they meet.
absl::StatusOr<std::vector<Certificate>> ChainAfterLeaf(const AuthoritySnapshot& snapshot) {
  std::vector<Certificate> chain = snapshot.chain_tail;
  if (const std::vector<Certificate> cross = FindCross(snapshot); !cross.empty()) {
    if (!LeavesCarryCross(snapshot)) chain.insert(chain.end(), cross.begin(), cross.end());
    if (auto old_root = FindRoot(snapshot, snapshot.rotation->old_root_id); old_root.ok()) {
      chain.push_back(*std::move(old_root));
    }
  }
  MESHCA_ASSIGN_OR_RETURN(Certificate root, FindRoot(snapshot, snapshot.issuing->root_id));
  chain.push_back(std::move(root));
  return chain;
}

}  // namespace

ServerCertificateNames DefaultServerNames(const std::vector<std::string>& extra) {
  ServerCertificateNames names;
  names.dns_names = {"localhost", "istiod.istio-system.svc"};
  names.ip_addresses = {"127.0.0.1", "::1"};
  char host[256] = {};
  // A host may be called what DNS would not have ("build_7"): no client can ask for that.
  if (gethostname(host, sizeof host - 1) == 0 && CheckDnsName(host).ok()) names.dns_names.push_back(host);
  for (const std::string& name : extra) {
    (IsIpAddress(name) ? names.ip_addresses : names.dns_names).push_back(name);
  }
  for (std::vector<std::string>* list : {&names.dns_names, &names.ip_addresses}) {
    std::sort(list->begin(), list->end());
    list->erase(std::unique(list->begin(), list->end()), list->end());
  }
  return names;
}

std::vector<std::string> ServerIdentity::ChainDer() const {
  std::vector<std::string> der;
  for (const Certificate& certificate : chain) der.push_back(certificate.der().bytes());
  return der;
}

ServerCertificate::ServerCertificate(ServerCertificateOptions options, const AuthoritySnapshots& authorities,
                                     IssuanceStore& store, EntropySource& entropy, Install install)
    : options_(std::move(options)),
      authorities_(authorities),
      store_(store),
      entropy_(entropy),
      install_(std::move(install)),
      names_(options_.names) {}

absl::Time ServerCertificate::Tick(absl::Time now) {
  std::shared_ptr<const AuthoritySnapshot> snapshot = authorities_.Current();
  absl::Status status;
  if (snapshot == nullptr || IsDue(*snapshot, now)) status = RenewWithRetries(now);
  {
    MutexLock lock(mutex_);
    error_ = status;
    if (!leaf_.empty()) expires_at_ = leaf_.validity().not_after;
  }
  if (!status.ok()) return now + kRetryAfter;
  return renew_at_;
}

absl::Time ServerCertificate::ExpiresAt() const {
  MutexLock lock(mutex_);
  return expires_at_;
}

absl::Status ServerCertificate::LastError() const {
  MutexLock lock(mutex_);
  return error_;
}

void ServerCertificate::SetNames(ServerCertificateNames names) {
  MutexLock lock(mutex_);
  names_ = std::move(names);
  ++names_wanted_;
}

bool ServerCertificate::IsDue(const AuthoritySnapshot& snapshot, absl::Time now) const {
  if (leaf_.empty()) return true;
  {
    MutexLock lock(mutex_);
    if (names_wanted_ != names_made_) return true;
  }
  const Validity& validity = leaf_.validity();
  // Before its beginning: it was made while the clock was ahead.
  if (now < validity.not_before || now >= renew_at_) return true;
  if (snapshot.issuing != nullptr && snapshot.issuing->root_id != root_id_ && !MustStay(snapshot)) return true;
  // The rotation has ended: the way to the old root leaves the chain.
  if (snapshot.issuing != nullptr && crossed_ && FindCross(snapshot).empty()) return true;
  for (const SigningAuthority& authority : snapshot.authorities) {
    if (authority.id == authority_id_ && authority.state == AuthorityState::kRetired) return true;
  }
  return false;
}

// Clients pin roots in files that nothing here reaches. The cross-certificate leads them from the old root to the new
// one; without it the certificate stays where it is until the old root is retired.
bool ServerCertificate::MustStay(const AuthoritySnapshot& snapshot) const {
  return snapshot.rotation.has_value() && !snapshot.rotation->Ended() && snapshot.rotation->old_root_id == root_id_ &&
         snapshot.rotation->step != RotationStep::kRetire && FindCross(snapshot).empty();
}

absl::Status ServerCertificate::RenewWithRetries(absl::Time now) {
  absl::Status status;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    // Anew each time: Aborted means that another authority has become active.
    std::shared_ptr<const AuthoritySnapshot> snapshot = authorities_.Current();
    if (snapshot == nullptr || snapshot->issuing == nullptr) {
      return absl::UnavailableError("server certificate: no authority can sign now");
    }
    status = Renew(*snapshot, now);
    if (!absl::IsAborted(status) && !absl::IsAlreadyExists(status)) break;
  }
  return Annotate(status, "server certificate");
}

absl::Status ServerCertificate::Renew(const AuthoritySnapshot& snapshot, absl::Time now) {
  const SigningAuthority& issuing = *snapshot.issuing;
  ServerCertificateNames names;
  uint64_t names_number = 0;
  {
    MutexLock lock(mutex_);
    names = names_;
    names_number = names_wanted_;
  }
  for (const std::string& name : names.dns_names) MESHCA_RETURN_IF_ERROR(CheckDnsName(name));
  // P-256 whatever the authorities' keys are: every client can verify it, and handshakes are many.
  MESHCA_ASSIGN_OR_RETURN(std::unique_ptr<SoftwareKey> key, SoftwareKey::Generate(KeyType::kEcP256));
  ServerIdentity identity;
  MESHCA_ASSIGN_OR_RETURN(Certificate leaf,
                          BuildServerCertificate(options_.trust_domain, key->public_key(), names, issuing.certificate,
                                                 *issuing.key, now, options_.backdate, options_.lifetime, entropy_));
  MESHCA_ASSIGN_OR_RETURN(identity.chain, ChainAfterLeaf(snapshot));
  identity.chain.insert(identity.chain.begin(), leaf);
  identity.key = std::move(key);
  MESHCA_ASSIGN_OR_RETURN(IssuanceRecord record, MakeRecord(leaf, issuing.id, now));
  MESHCA_RETURN_IF_ERROR(AppendAndWait(store_, std::move(record)));
  MESHCA_RETURN_IF_ERROR(install_(identity));
  {
    // Not before: names that could not be certified now are still wanted.
    MutexLock lock(mutex_);
    names_made_ = names_number;
  }
  leaf_ = std::move(leaf);
  // Half of what is left of it, the back-dated part not counted: under a short-lived authority that part alone may be
  // more than half, and it would be renewed without end.
  renew_at_ = now + std::max(kRenewNotBefore, (leaf_.validity().not_after - now) / 2);
  authority_id_ = issuing.id;
  root_id_ = issuing.root_id;
  crossed_ = !FindCross(snapshot).empty();
  LogInfo("server certificate renewed",
          {{"serial", leaf_.serial_hex()}, {"until", OffsetText(leaf_.validity().not_after)}});
  return absl::OkStatus();
}

absl::StatusOr<OwnLeaves> CountLiveServerCertificates(IssuanceStore& store, const TrustDomain& domain, absl::Time now) {
  OwnLeaves own;
  own.spiffe_id = domain.Id() + kServerPath;
  IssuanceFilter filter;
  filter.spiffe_id_glob = own.spiffe_id;
  filter.expires_after = now;
  MESHCA_RETURN_IF_ERROR(store.List(filter, [&](const IssuanceRecord& record) {
    ++own.by_authority[record.authority_id];
    return true;
  }));
  return own;
}

}  // namespace meshca
