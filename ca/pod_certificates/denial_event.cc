#include "ca/pod_certificates/denial_event.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meshca {

void TellDenied(absl::string_view version, const PodRequest& request, absl::string_view why, const KnownPods& pods,
                kubernetes::EventSink* events) {
  if (events == nullptr) return;
  kubernetes::ObjectEvent event;
  event.regarding = {absl::StrCat("certificates.k8s.io/", version), "PodCertificateRequest", request.namespace_name,
                     request.name, request.uid};
  event.is_warning = true;
  event.reason = "PodCertificateDenied";
  event.action = "Sign";
  event.note =
      absl::StrCat("signer ", request.signer_name, " denies the certificate of pod ", request.pod_name, ": ", why);
  events->Tell(event);
  const std::optional<KnownPod> pod = pods.FindPod(request.pod_uid);
  if (!pod.has_value() || pod->name != request.pod_name || pod->account.namespace_name != request.namespace_name) {
    return;
  }
  event.regarding = {"v1", "Pod", request.namespace_name, request.pod_name, request.pod_uid};
  events->Tell(std::move(event));
}

}  // namespace meshca
