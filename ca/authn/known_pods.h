// What is known of a Kubernetes cluster's pods and service accounts from a watch of them.
#ifndef MESHCA_CA_AUTHN_KNOWN_PODS_H_
#define MESHCA_CA_AUTHN_KNOWN_PODS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace meshca {

// A service account, by its names.
struct AccountName {
  std::string namespace_name;
  std::string account;

  // "istio-system/ztunnel", as configurations and people write it.
  std::string Text() const { return namespace_name + "/" + account; }
  friend bool operator==(const AccountName&, const AccountName&) = default;
};

struct KnownPod {
  std::string name;
  AccountName account;  // its namespace is the pod's
  std::string node;     // "": not placed on one yet
  bool ended = false;   // its phase is Failed or Succeeded: none of its processes runs any more
  // Its deletion was asked for, and this is when the time it was given ends; InfiniteFuture: it was not.
  absl::Time deleted_at = absl::InfiniteFuture();
  absl::Time created = absl::InfinitePast();  // by the API server's clock, whole seconds; InfinitePast: not known
};

// Of a KnownPod what its tokens are judged by, where it stands: the texts are good while somebody looks.
struct PodView {
  absl::string_view name;
  absl::string_view namespace_name;
  absl::string_view account;
  absl::string_view node;  // "": not placed on one yet
  bool ended = false;
  absl::Time deleted_at = absl::InfiniteFuture();

  static PodView Of(const KnownPod& pod) {
    return {pod.name, pod.account.namespace_name, pod.account.account, pod.node, pod.ended, pod.deleted_at};
  }
};

// A cluster believes the tokens of a pod this long after the time that its deletion gave it: on a node that is away the
// pod never goes.
inline constexpr absl::Duration kDeletedPodGrace = absl::Minutes(1);

// Does any process of the pod still count?
inline bool Lives(const PodView& pod, absl::Time now) { return !pod.ended && now < pod.deleted_at + kDeletedPodGrace; }
inline bool Lives(const KnownPod& pod, absl::Time now) { return Lives(PodView::Of(pod), now); }

// Thread-safe; looks into memory alone, so any thread may ask.
class KnownPods {
 public:
  virtual ~KnownPods() = default;

  virtual std::optional<KnownPod> FindPod(absl::string_view uid) const = 0;
  // The same for each token that comes, without a copy: `look` is called once, perhaps with a lock held, so it asks
  // nothing here. False: no such pod is known.
  using Look = absl::FunctionRef<void(const PodView&)>;
  virtual bool LookAt(absl::string_view uid, Look look) const;
  // "": no such account is known.
  virtual std::string AccountUid(const AccountName& account) const = 0;
  // Whether that is it.
  virtual bool IsAccountUid(const AccountName& account, absl::string_view uid) const;
  // Whether a pod or a service account of that uid was there and went. The ones that went last are remembered; uids do
  // not come back.
  virtual bool IsGone(absl::string_view uid) const = 0;
  // The accounts, each once, that have a pod on `node` which lives at `now`.
  virtual std::vector<AccountName> AccountsOn(absl::string_view node, absl::Time now) const = 0;

  // How long ago the API server was last heard of: what is known may be as old as this. InfiniteDuration: it has never
  // told everything.
  virtual absl::Duration Age() const = 0;
  // Another number after each change of what is known.
  virtual uint64_t Changes() const = 0;
};

inline bool KnownPods::LookAt(absl::string_view uid, Look look) const {
  const std::optional<KnownPod> pod = FindPod(uid);
  if (pod.has_value()) look(PodView::Of(*pod));
  return pod.has_value();
}

inline bool KnownPods::IsAccountUid(const AccountName& account, absl::string_view uid) const {
  return AccountUid(account) == uid;
}

}  // namespace meshca

#endif  // MESHCA_CA_AUTHN_KNOWN_PODS_H_
