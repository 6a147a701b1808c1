#include "ca/x509/path_search.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/x509/encoding.h"
#include "ca/x509/peer_rules.h"

namespace meshca {
namespace {

// Steps tried for one chain. An honest one takes as many as it is long; seven authorities of one name would make
// thousands of paths.
constexpr int kTriedMax = 512;

bool KeyIdsFit(const CertificateFields& child, const CertificateFields& issuer) {
  return child.authority_key_id.empty() || issuer.subject_key_id.empty() ||
         child.authority_key_id == issuer.subject_key_id;
}

}  // namespace

PathSearch::PathSearch(std::vector<const CertificateFields*> certificates, size_t presented, absl::Time now,
                       PeerRole role)
    : certificates_(std::move(certificates)),
      presented_(presented),
      now_(now),
      role_(role),
      steps_(presented, std::vector<Step>(certificates_.size(), Step::kNoName)),
      leads_to_root_(certificates_.size()),
      may_issue_(certificates_.size()) {
  for (size_t child = 0; child < presented_; ++child) {
    for (size_t issuer = 1; issuer < certificates_.size(); ++issuer) {
      if (issuer == child || certificates_[child]->issuer_der != certificates_[issuer]->subject_der) continue;
      steps_[child][issuer] =
          KeyIdsFit(*certificates_[child], *certificates_[issuer]) ? Step::kFits : Step::kOtherKeyId;
    }
  }
  FindLeads();
}

void PathSearch::FindLeads() {
  std::fill(leads_to_root_.begin() + static_cast<std::ptrdiff_t>(presented_), leads_to_root_.end(), true);
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t child = 0; child < presented_; ++child) {
      for (size_t issuer = 1; issuer < certificates_.size() && !leads_to_root_[child]; ++issuer) {
        if (steps_[child][issuer] == Step::kNoName || !leads_to_root_[issuer]) continue;
        leads_to_root_[child] = changed = true;
      }
    }
  }
}

std::optional<std::vector<size_t>> PathSearch::Next() {
  path_ = {0};
  if (!Extend()) return std::nullopt;
  return path_;
}

bool PathSearch::Extend() {
  if (path_.size() >= ChainVerifier::kChainMax) return false;
  // Roots first: the shortest way is the one that an honest peer means.
  const size_t all = certificates_.size();
  for (size_t i = 0; i < all; ++i) {
    const size_t issuer = (presented_ + i) % all;
    if (!MayStandAbove(issuer)) continue;
    path_.push_back(issuer);
    if (issuer >= presented_ || Extend()) return true;
    path_.pop_back();
  }
  return false;
}

bool PathSearch::MayStandAbove(size_t issuer) {
  const size_t child = path_.back();
  const Step step = steps_[child][issuer];
  if (step == Step::kNoName || !leads_to_root_[issuer] || IsOnPath(issuer)) return false;
  if (++tried_ > kTriedMax) {
    Note(PeerRefused("PEER_UNTRUSTED", "too many authorities of one name in the chain"));
    return false;
  }
  const CertificateFields& authority = *certificates_[issuer];
  if (step == Step::kOtherKeyId) {
    if (why_.ok()) {
      Note(PeerRefused(
          "PEER_UNTRUSTED",
          absl::StrCat("certificate: its authorityKeyIdentifier is ", HexLower(certificates_[child]->authority_key_id),
                       ", its issuer's subjectKeyIdentifier ", HexLower(authority.subject_key_id))));
    }
    return false;
  }
  if (!MayIssue(issuer)) return false;
  const int below = AuthoritiesBelow();
  if (!authority.path_len.has_value() || *authority.path_len >= below) return true;
  if (why_.ok()) {
    Note(PeerRefused("PEER_UNTRUSTED", absl::StrCat(AuthorityName(authority), " allows ", *authority.path_len,
                                                    " authorities below it, the chain has ", below)));
  }
  return false;
}

bool PathSearch::MayIssue(size_t authority) {
  std::optional<bool>& verdict = may_issue_[authority];
  if (!verdict.has_value()) {
    absl::Status status = CheckPeerAuthority(*certificates_[authority], now_, role_);
    verdict = status.ok();
    if (!status.ok()) Note(std::move(status));
  }
  return *verdict;
}

void PathSearch::ForbidStep(size_t child, size_t issuer, absl::Status why) {
  steps_[child][issuer] = Step::kNoName;
  Note(std::move(why));
}

void PathSearch::Forbid(size_t authority, absl::Status why) {
  may_issue_[authority] = false;
  Note(std::move(why));
}

// Self-issued ones do not count (RFC 5280 §6.1.4 (l)).
int PathSearch::AuthoritiesBelow() const {
  return static_cast<int>(std::count_if(path_.begin() + 1, path_.end(), [this](size_t at) {
    return certificates_[at]->issuer_der != certificates_[at]->subject_der;
  }));
}

bool PathSearch::IsOnPath(size_t certificate) const {
  return std::find(path_.begin(), path_.end(), certificate) != path_.end();
}

void PathSearch::Note(absl::Status why) {
  if (why_.ok()) why_ = std::move(why);
}

}  // namespace meshca
