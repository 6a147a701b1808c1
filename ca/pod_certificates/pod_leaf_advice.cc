#include "ca/pod_certificates/pod_leaf_advice.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "ca/authn/watch_verdict.h"
#include "ca/identity/pod_origin.h"
#include "ca/pod_certificates/pod_certificate_terms.h"
#include "ca/x509/validity.h"

namespace meshca {
namespace {

// By which a kubelet is later than beginRefreshAt, so that not all ask at once.
constexpr absl::Duration kKubeletLate = absl::Minutes(5);
// The record of a certificate may bear a time before the one at which its signer learned that a rotation had begun.
constexpr absl::Duration kInFlight = absl::Minutes(1);
// A watch may lag behind what another call was told.
constexpr absl::Duration kWatchLag = absl::Minutes(1);
constexpr absl::string_view kInstancePrefix = "pod ";  // of a record's `instance`: "pod NAMESPACE/NAME"

// "kubectl -n web delete pod front-1"; "": nobody knows which pod it is.
std::string RestartCommand(const LiveLeaf& leaf, const std::string& pod_uid, const KnownPods& pods) {
  if (const std::optional<KnownPod> pod = pods.FindPod(pod_uid); pod.has_value()) {
    return absl::StrCat("kubectl -n ", pod->account.namespace_name, " delete pod ", pod->name);
  }
  absl::string_view named = leaf.instance;
  const size_t slash = named.find('/');
  if (named.substr(0, kInstancePrefix.size()) != kInstancePrefix || slash == absl::string_view::npos) return "";
  return absl::StrCat("kubectl -n ", named.substr(kInstancePrefix.size(), slash - kInstancePrefix.size()),
                      " delete pod ", named.substr(slash + 1));
}

}  // namespace

bool PodOfLeafIsGone(const LiveLeaf& leaf, const KnownPods& pods, absl::Time now) {
  const std::optional<PodOrigin> origin = PodOrigin::From(leaf.origin);
  if (!origin.has_value() || origin->pod_uid.empty()) return false;
  const absl::Duration age = pods.Age();
  if (age > kWatchAgeMax) return false;
  if (pods.IsGone(origin->pod_uid)) return true;
  const std::optional<KnownPod> pod = pods.FindPod(origin->pod_uid);
  if (pod.has_value()) return pod->ended;
  return now - age > leaf.issued_at + kWatchLag;
}

absl::Time PodLeafRenewsBy(const LiveLeaf& leaf, const RootRotation& rotation) {
  if (leaf.method != AuthMethod::kPodCertificate) return absl::InfiniteFuture();
  // As the signer chose it (BeginRefreshAt): early, where the root above was about to be left by then. After a rollback
  // that was the other root, so the later time stands.
  const bool left_soon = !rotation.rolled_back && leaf.issued_at >= rotation.published_at + kInFlight;
  const absl::StatusOr<Validity> validity = Validity::Make(leaf.not_before, leaf.not_after);
  if (!validity.ok()) return absl::InfiniteFuture();
  return BeginRefreshAt(*validity, left_soon) + kKubeletLate;
}

void AdviseOnPodLeaf(const LiveLeaf& leaf, const RootRotation& rotation, const KnownPods& pods, absl::Time now,
                     Laggard& laggard) {
  const std::optional<PodOrigin> origin = PodOrigin::From(leaf.origin);
  if (!origin.has_value() || origin->pod_uid.empty()) return;
  const std::string restart = RestartCommand(leaf, origin->pod_uid, pods);
  if (restart.empty()) return;
  laggard.renews_by = PodLeafRenewsBy(leaf, rotation);
  if (laggard.renews_by == absl::InfiniteFuture()) {
    laggard.detail = absl::StrCat("counts until it ends or its holder renews it, or restart the pod: ", restart);
  } else if (laggard.renews_by >= now) {
    laggard.detail = absl::StrCat("its kubelet renews it, or restart the pod: ", restart);
  } else {
    laggard.detail =
        absl::StrCat("its kubelet is late: look at its node's log and at meshca check, or restart the pod: ", restart);
  }
}

}  // namespace meshca
