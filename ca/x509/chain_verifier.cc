#include "ca/x509/chain_verifier.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"
#include "ca/x509/certificate_reader.h"
#include "ca/x509/path_search.h"
#include "ca/x509/peer_rules.h"

namespace meshca {
namespace {

constexpr size_t kMemoryMax = 256;

// A certificate as a peer sent it. Its key is decoded when its signature was found to be good, and not before.
struct Presented {
  absl::string_view der;
  CertificateParts parts;
  Certificate decoded;  // empty: nobody has vouched for it yet

  const CertificateFields& fields() const { return decoded.empty() ? parts.fields : decoded.fields(); }
  // `known`: the same certificate as it is remembered, or an empty one.
  absl::Status Read(size_t place, absl::string_view bytes, Certificate known);
  absl::Status Decode(size_t place);
};

absl::Status MalformedAt(size_t place, const absl::Status& why) {
  return PeerRefused("PEER_CHAIN_MALFORMED", absl::StrCat("certificate ", place + 1, ": ", why.message()));
}

absl::Status Presented::Read(size_t place, absl::string_view bytes, Certificate known) {
  der = bytes;
  if (known.empty()) {
    absl::StatusOr<CertificateParts> read = ReadCertificate(der);
    if (!read.ok()) return MalformedAt(place, read.status());
    parts = *std::move(read);
    return absl::OkStatus();
  }
  decoded = std::move(known);
  parts.tbs = decoded.tbs();
  parts.signature_algorithm = decoded.signature_algorithm();
  parts.signature = decoded.signature();
  return absl::OkStatus();
}

absl::Status Presented::Decode(size_t place) {
  if (!decoded.empty()) return absl::OkStatus();
  absl::StatusOr<Certificate> read = Certificate::Parse(Der::Copy(der));
  if (!read.ok()) return MalformedAt(place, read.status());
  decoded = *std::move(read);
  return absl::OkStatus();
}

}  // namespace

// Authorities that once were on a good path, by their bytes, and who signed them. Holds only what a root vouches for,
// so no peer can fill it; taint and time are judged anew each time.
class ChainVerifier::Memory {
 public:
  Certificate Find(absl::string_view der) {
    MutexLock lock(mutex_);
    const auto found = authorities_.find(der);
    return found == authorities_.end() ? Certificate() : found->second;
  }

  bool KnowsLink(const Certificate& child, const Certificate& issuer) {
    MutexLock lock(mutex_);
    return links_.contains(std::make_pair(child.sha256(), issuer.sha256()));
  }

  // `path`: leaf first.
  void Remember(std::span<const Certificate> path) {
    MutexLock lock(mutex_);
    for (size_t i = 1; i + 1 < path.size() && links_.size() < kMemoryMax; ++i) {
      authorities_.try_emplace(path[i].der().bytes(), path[i]);
      links_.emplace(path[i].sha256(), path[i + 1].sha256());
    }
  }

 private:
  Mutex mutex_;
  absl::flat_hash_map<std::string, Certificate> authorities_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<std::pair<std::string, std::string>> links_ ABSL_GUARDED_BY(mutex_);
};

// One chain on its way: what was presented, the roots behind it, and the signatures checked so far.
class ChainVerifier::Proof {
 public:
  Proof(const ChainVerifier& verifier, std::vector<Presented> presented)
      : verifier_(verifier),
        presented_(std::move(presented)),
        proven_(presented_.size(), std::vector<bool>(presented_.size() + verifier.roots_.size())) {}

  // The verified path: leaf first, root last.
  absl::StatusOr<std::vector<Certificate>> FindPath(absl::Time now, PeerRole role) {
    std::vector<const CertificateFields*> fields;
    for (const Presented& each : presented_) fields.push_back(&each.fields());
    for (const Certificate& root : verifier_.roots_) fields.push_back(&root.fields());
    PathSearch search(std::move(fields), presented_.size(), now, role);
    while (failures_ < kFailuresMax) {
      const std::optional<std::vector<size_t>> path = search.Next();
      if (!path.has_value()) break;
      MESHCA_ASSIGN_OR_RETURN(const bool good, Check(*path, search));
      if (!good) continue;
      std::vector<Certificate> certificates;
      for (const size_t at : *path) certificates.push_back(At(at));
      verifier_.memory_->Remember(certificates);
      return certificates;
    }
    if (!search.why().ok()) return search.why();
    return PeerRefused("PEER_UNTRUSTED", absl::StrCat("no root of trust domain ", verifier_.domain_.name(),
                                                      " signed it: its issuer is \"",
                                                      NameText(presented_.front().fields().issuer_der), "\""));
  }

 private:
  // From the root down: whoever signs was vouched for one step earlier. False: one step is forbidden now. Error: no
  // other path can help.
  absl::StatusOr<bool> Check(const std::vector<size_t>& path, PathSearch& search) {
    for (size_t above = path.size() - 1; above > 0; --above) {
      const size_t child = path[above - 1];
      const Certificate& issuer = At(path[above]);
      if (!verifier_.tainted_.empty() && verifier_.tainted_.contains(issuer.spki_sha256_hex())) {
        search.Forbid(path[above],
                      PeerRefused("PEER_TAINTED", absl::StrCat(AuthorityName(issuer.fields()), " is tainted")));
        return false;
      }
      if (IsProven(child, path[above])) continue;
      if (signatures_ == kChainMax) {
        return PeerRefused("PEER_UNTRUSTED", "too many authorities of one name in the chain");
      }
      ++signatures_;
      const CertificateParts& parts = presented_[child].parts;
      const absl::Status fits =
          verifier_.check_signature_(issuer.public_key(), parts.signature_algorithm, parts.tbs, parts.signature);
      if (!fits.ok()) {
        ++failures_;
        search.ForbidStep(child, path[above],
                          PeerRefused("PEER_UNTRUSTED", absl::StrCat("certificate: ", fits.message())));
        return false;
      }
      proven_[child][path[above]] = true;
      MESHCA_RETURN_IF_ERROR(presented_[child].Decode(child));
    }
    return true;
  }

  bool IsProven(size_t child, size_t issuer) const {
    const Certificate& known = presented_[child].decoded;
    return proven_[child][issuer] || (!known.empty() && verifier_.memory_->KnowsLink(known, At(issuer)));
  }

  // Decoded by the time that anybody asks: a root, or vouched for.
  const Certificate& At(size_t place) const {
    return place < presented_.size() ? presented_[place].decoded : verifier_.roots_[place - presented_.size()];
  }

  const ChainVerifier& verifier_;
  std::vector<Presented> presented_;
  std::vector<std::vector<bool>> proven_;  // [child][issuer]: the signature was found to be good
  size_t signatures_ = 0;
  int failures_ = 0;
};

ChainVerifier::ChainVerifier(TrustDomain domain, std::vector<Certificate> roots,
                             absl::flat_hash_set<std::string> tainted, CheckSignature check_signature)
    : domain_(std::move(domain)),
      roots_(std::move(roots)),
      tainted_(std::move(tainted)),
      check_signature_(std::move(check_signature)),
      memory_(std::make_shared<Memory>()) {
  if (check_signature_) return;
  check_signature_ = [](const PublicKey& key, absl::string_view algorithm, absl::string_view message,
                        absl::string_view signature) { return key.Verify(algorithm, message, signature); };
}

absl::StatusOr<VerifiedPeer> ChainVerifier::Verify(std::span<const absl::string_view> chain, absl::Time now,
                                                   PeerRole role) const {
  if (chain.empty()) return PeerRefused("PEER_CHAIN_MALFORMED", "the chain is empty");
  if (chain.size() > kChainMax) {
    return PeerRefused("PEER_CHAIN_MALFORMED",
                       absl::StrCat("the chain has ", chain.size(), " certificates, more than ", kChainMax));
  }
  std::vector<Presented> presented(chain.size());
  for (size_t i = 0; i < chain.size(); ++i) {
    Certificate known = i == 0 ? Certificate() : memory_->Find(chain[i]);
    MESHCA_RETURN_IF_ERROR(presented[i].Read(i, chain[i], std::move(known)));
  }
  VerifiedPeer peer;
  MESHCA_ASSIGN_OR_RETURN(peer.spiffe_id, CheckPeerLeaf(presented.front().fields(), domain_, now, role));
  MESHCA_ASSIGN_OR_RETURN(const std::vector<Certificate> path, Proof(*this, std::move(presented)).FindPath(now, role));
  peer.leaf = path.front();
  peer.path_ends = peer.leaf.validity().not_after;
  for (size_t i = 1; i < path.size(); ++i) {
    peer.authority_ids.push_back(path[i].spki_sha256_hex());
    peer.path_ends = std::min(peer.path_ends, path[i].validity().not_after);
  }
  peer.root_id = peer.authority_ids.back();
  return peer;
}

}  // namespace meshca
