#include "ca/kubernetes/cluster_pods.h"

#include <algorithm>
#include <utility>

#include "ca/base/status.h"
#include "ca/kubernetes/resource.h"

namespace meshca::kubernetes {
namespace {

ListWatchOptions WatchOf(Resource resource, std::vector<std::string> paths) {
  ListWatchOptions options;
  options.resource = std::move(resource);
  options.paths = std::move(paths);
  return options;
}

}  // namespace

// The pods come last, because theirs is the long list: when it has ended, the accounts have most probably come.
ClusterPods::ClusterPods(ApiServer& server, const Clock& clock, EntropySource& entropy,
                         std::set<std::string> kept_labels)
    : directory_(std::move(kept_labels)),
      accounts_(WatchOf(ServiceAccounts(), PodDirectory::AccountPaths()), server, directory_.accounts(), clock,
                entropy),
      pods_(WatchOf(Pods(), PodDirectory::PodPaths()), server, directory_.pods(), clock, entropy) {}

absl::Duration ClusterPods::Age() const { return std::max(accounts_.Age(), pods_.Age()); }

absl::Status ClusterPods::LastError() const {
  for (const ListWatch* const watch : {&pods_, &accounts_}) {
    MESHCA_RETURN_IF_ERROR(watch->LastError());
  }
  return absl::OkStatus();
}

void ClusterPods::Stop() {
  pods_.Stop();
  accounts_.Stop();
}

}  // namespace meshca::kubernetes
