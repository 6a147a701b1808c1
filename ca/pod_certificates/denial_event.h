// What people find in the cluster about a request that was denied.
#ifndef MESHCA_CA_POD_CERTIFICATES_DENIAL_EVENT_H_
#define MESHCA_CA_POD_CERTIFICATES_DENIAL_EVENT_H_

#include "absl/strings/string_view.h"
#include "ca/authn/known_pods.h"
#include "ca/kubernetes/object_event.h"
#include "ca/pod_certificates/pod_request.h"

namespace meshca {

// Tells it on the request, and on the pod that it names: there they look first, for the pod does not start. On the pod
// only where there is one of that uid and name in the request's namespace: the request's word alone is anybody's.
// `version`: of the API that the request was answered by. `events`: null where none are written.
void TellDenied(absl::string_view version, const PodRequest& request, absl::string_view why, const KnownPods& pods,
                kubernetes::EventSink* events);

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_DENIAL_EVENT_H_
