#include "ca/x509/chain_verifier.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "ca/base/mutex.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

// Signatures checked for one chain at most: certificates of one name in a hostile order cost no more than this.
constexpr int kSignaturesMax = 16;
constexpr size_t kMemoryMax = 256;

absl::Status Refused(absl::string_view reason, absl::string_view what) {
  return WithReason(absl::UnauthenticatedError(absl::StrCat("peer certificate: ", what)), reason);
}

std::string Utc(absl::Time time) { return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone()); }

absl::Status CheckTime(const Certificate& certificate, absl::string_view who, absl::Time now) {
  const Validity& validity = certificate.validity();
  if (validity.Contains(now)) return absl::OkStatus();
  if (now < validity.not_before) {
    return Refused("PEER_NOT_YET_VALID",
                   absl::StrCat(who, " is not valid before ", Utc(validity.not_before), "; here it is ", Utc(now)));
  }
  return Refused("PEER_EXPIRED", absl::StrCat(who, " expired at ", Utc(validity.not_after), "; here it is ", Utc(now)));
}

bool HasRole(const CertificateFields& fields, PeerRole role) {
  return !fields.has_extended_key_usage || (role == PeerRole::kClient ? fields.client_auth : fields.server_auth);
}

absl::string_view RoleName(PeerRole role) { return role == PeerRole::kClient ? "clientAuth" : "serverAuth"; }

// X509-SVID §4, §5.2: what makes a certificate a workload's.
absl::StatusOr<SpiffeId> CheckLeaf(const Certificate& leaf, const TrustDomain& domain, absl::Time now, PeerRole role) {
  const CertificateFields& fields = leaf.fields();
  const auto no_svid = [](absl::string_view what) { return Refused("PEER_NOT_SVID", what); };
  if (fields.is_ca) return no_svid("is an authority's, not a workload's");
  if (!fields.unknown_critical.empty()) {
    return no_svid(absl::StrCat("has the unknown critical extension ", fields.unknown_critical));
  }
  if (fields.has_name_constraints) return no_svid("has nameConstraints, which a leaf must not have");
  if (!fields.key_usage.has_value() || (*fields.key_usage & kDigitalSignature) == 0) {
    return no_svid("keyUsage lacks digitalSignature");
  }
  if ((*fields.key_usage & (kKeyCertSign | kCrlSign)) != 0) return no_svid("keyUsage has keyCertSign or cRLSign");
  if (!HasRole(fields, role)) return no_svid(absl::StrCat("extendedKeyUsage lacks ", RoleName(role)));
  absl::StatusOr<SpiffeId> id = leaf.spiffe_id();
  if (!id.ok()) return no_svid(id.status().message());
  if (!id->has_path()) return no_svid(absl::StrCat("its SPIFFE ID has no path: ", id->uri()));
  if (!id->MemberOf(domain)) {
    return Refused("PEER_TRUST_DOMAIN",
                   absl::StrCat("is of trust domain ", id->trust_domain_name(), ", not ", domain.name()));
  }
  MESHCA_RETURN_IF_ERROR(CheckTime(leaf, "it", now));
  return id;
}

std::string AuthorityName(const Certificate& authority) {
  return absl::StrCat("authority \"", authority.subject(), "\"");
}

// RFC 5280 §6.1.4 for a certificate that signs another. `below`: authorities between it and the leaf.
absl::Status CheckAuthority(const Certificate& authority, int below, absl::Time now, PeerRole role) {
  const CertificateFields& fields = authority.fields();
  // The name is put into words only for a refusal: that costs as much as the rest of these checks together.
  const auto untrusted = [&authority](absl::string_view what) {
    return Refused("PEER_UNTRUSTED", absl::StrCat(AuthorityName(authority), what));
  };
  if (!fields.has_basic_constraints || !fields.is_ca) return untrusted(" is no certificate authority");
  if (fields.key_usage.has_value() && (*fields.key_usage & kKeyCertSign) == 0) return untrusted(" lacks keyCertSign");
  if (fields.path_len.has_value() && *fields.path_len < below) {
    return untrusted(absl::StrCat(" allows ", *fields.path_len, " authorities below it, the chain has ", below));
  }
  if (!fields.unknown_critical.empty()) {
    return untrusted(absl::StrCat(" has the unknown critical extension ", fields.unknown_critical));
  }
  // To skip a constraint would widen trust; nobody here needs one, so it is refused rather than half understood.
  if (fields.has_name_constraints) return untrusted(" has nameConstraints, which are not supported");
  if (!HasRole(fields, role)) return untrusted(absl::StrCat(" may not issue for ", RoleName(role)));
  if (authority.validity().Contains(now)) return absl::OkStatus();
  return CheckTime(authority, AuthorityName(authority), now);
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

// Looks for a path from the leaf to a root, depth first, each certificate used once.
class ChainVerifier::Search {
 public:
  Search(const ChainVerifier& verifier, std::vector<Certificate> presented, absl::Time now, PeerRole role)
      : verifier_(verifier), presented_(std::move(presented)), used_(presented_.size()), now_(now), role_(role) {
    path_.push_back(presented_.front());
    used_[0] = true;
  }

  // The path found: leaf first, root last.
  absl::StatusOr<std::vector<Certificate>> Run() {
    if (Extend()) {
      verifier_.memory_->Remember(path_);
      return std::move(path_);
    }
    if (!why_.ok()) return why_;
    return Refused("PEER_UNTRUSTED", absl::StrCat("no root of trust domain ", verifier_.domain_.name(),
                                                  " signed it: its issuer is \"", path_.front().issuer(), "\""));
  }

 private:
  bool Extend() {
    if (path_.size() >= kChainMax) return false;
    for (size_t i = 0; i < verifier_.roots_.size(); ++i) {
      if (!Accept(verifier_.roots_[i])) continue;
      path_.push_back(verifier_.roots_[i]);
      return true;
    }
    for (size_t i = 0; i < presented_.size(); ++i) {
      if (used_[i] || !Accept(presented_[i])) continue;
      used_[i] = true;
      path_.push_back(presented_[i]);
      if (Extend()) return true;
      path_.pop_back();
      used_[i] = false;
    }
    return false;
  }

  // May `issuer` stand above the path's end? Remembers the first reason why not.
  bool Accept(const Certificate& issuer) {
    const Certificate& child = path_.back();
    if (child.fields().issuer_der != issuer.fields().subject_der) return false;
    if (!verifier_.tainted_.empty() && verifier_.tainted_.contains(issuer.spki_sha256_hex())) {
      Note(Refused("PEER_TAINTED", absl::StrCat(AuthorityName(issuer), " is tainted")));
      return false;
    }
    if (const absl::Status status = CheckAuthority(issuer, AuthoritiesBelow(), now_, role_); !status.ok()) {
      Note(status);
      return false;
    }
    if (verifier_.memory_->KnowsLink(child, issuer)) return true;
    if (++signatures_ > kSignaturesMax) {
      Note(Refused("PEER_UNTRUSTED", "too many authorities of one name in the chain"));
      return false;
    }
    if (const absl::Status status = child.VerifiesUnder(issuer); !status.ok()) {
      Note(Refused("PEER_UNTRUSTED", status.message()));
      return false;
    }
    return true;
  }

  // Self-issued ones do not count (RFC 5280 §6.1.4 (l)).
  int AuthoritiesBelow() const {
    int count = 0;
    for (size_t i = 1; i < path_.size(); ++i) {
      if (path_[i].fields().issuer_der != path_[i].fields().subject_der) ++count;
    }
    return count;
  }

  void Note(absl::Status status) {
    if (why_.ok()) why_ = std::move(status);
  }

  const ChainVerifier& verifier_;
  const std::vector<Certificate> presented_;
  std::vector<bool> used_;
  const absl::Time now_;
  const PeerRole role_;
  std::vector<Certificate> path_;
  int signatures_ = 0;
  absl::Status why_;
};

ChainVerifier::ChainVerifier(TrustDomain domain, std::vector<Certificate> roots,
                             absl::flat_hash_set<std::string> tainted)
    : domain_(std::move(domain)),
      roots_(std::move(roots)),
      tainted_(std::move(tainted)),
      memory_(std::make_shared<Memory>()) {}

absl::StatusOr<VerifiedPeer> ChainVerifier::Verify(std::span<const absl::string_view> chain, absl::Time now,
                                                   PeerRole role) const {
  if (chain.empty()) return Refused("PEER_CHAIN_MALFORMED", "the chain is empty");
  if (chain.size() > kChainMax) {
    return Refused("PEER_CHAIN_MALFORMED",
                   absl::StrCat("the chain has ", chain.size(), " certificates, more than ", kChainMax));
  }
  std::vector<Certificate> presented;
  presented.reserve(chain.size());
  for (const absl::string_view der : chain) {
    Certificate known = presented.empty() ? Certificate() : memory_->Find(der);
    if (known.empty()) {
      absl::StatusOr<Certificate> read = Certificate::Parse(Der::Copy(der));
      if (!read.ok()) {
        return Refused("PEER_CHAIN_MALFORMED",
                       absl::StrCat("certificate ", presented.size() + 1, ": ", read.status().message()));
      }
      known = *std::move(read);
    }
    presented.push_back(std::move(known));
  }
  VerifiedPeer peer;
  MESHCA_ASSIGN_OR_RETURN(peer.spiffe_id, CheckLeaf(presented.front(), domain_, now, role));
  peer.leaf = presented.front();
  MESHCA_ASSIGN_OR_RETURN(const std::vector<Certificate> path, Search(*this, std::move(presented), now, role).Run());
  peer.path_ends = peer.leaf.validity().not_after;
  for (size_t i = 1; i < path.size(); ++i) {
    peer.authority_ids.push_back(path[i].spki_sha256_hex());
    peer.path_ends = std::min(peer.path_ends, path[i].validity().not_after);
  }
  peer.root_id = peer.authority_ids.back();
  return peer;
}

}  // namespace meshca
