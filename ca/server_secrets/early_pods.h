// Pods that were started before the Secret that they read was there. istiod looks for its certificate once, when it
// starts: without it, it says that it is ready and never serves.
#ifndef MESHCA_CA_SERVER_SECRETS_EARLY_PODS_H_
#define MESHCA_CA_SERVER_SECRETS_EARLY_PODS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/kubernetes/api_call.h"

namespace meshca {

// Lists the pods of `namespace_name` with these labels ("app=istiod"), 500 at most.
kubernetes::ApiCall CallToListPods(absl::string_view namespace_name, absl::string_view label_selector);

// Of the pods in `list`, the answer to that call: what to restart because one of its containers runs since before
// `created`. As `kubectl rollout restart` takes it ("deployment/istiod"); of a pod that no controller would make anew
// "pod/NAME". Each once, in order. InvalidArgument: it is no list.
absl::StatusOr<std::vector<std::string>> StartedBefore(absl::string_view list, absl::Time created);

}  // namespace meshca

#endif  // MESHCA_CA_SERVER_SECRETS_EARLY_PODS_H_
