#include "ca/pod_certificates/pod_certificate_signer.h"

#include <utility>

namespace meshca {

PodCertificateSigner::PodCertificateSigner(PodSignerOptions options, Parts parts)
    : signer_name_(options.signer_name),
      // It is asked for nothing before the signer runs, and ends with it.
      admission_({.signer_name = options.signer_name,
                  .without_policy = options.without_policy,
                  .every = options.guard_every,
                  .asked = options.guard_asked,
                  .retry = options.guard_retry,
                  .memory_file = options.guard_memory},
                 parts.server, parts.clock, [this] { signer_.JudgeAgain(); }),
      kind_(std::move(options.versions), std::move(options.spiffe_id), std::move(options.profile),
            {admission_, parts.pods, parts.authorities, parts.events}),
      signer_({.signer_name = std::move(options.signer_name),
               .pending = options.pending,
               .gate = [this] { return admission_.verdict(); },
               .duty = [this] { return admission_.Look(); }},
              {parts.server, kind_, parts.pipeline, parts.clock, parts.entropy, parts.leadership}) {}

PodSignerStatus PodCertificateSigner::Status() const {
  PodSignerStatus status;
  static_cast<RequestSignerStatus&>(status) = signer_.Status();
  status.signer_name = signer_name_;
  status.admission = admission_.verdict();
  return status;
}

void PodCertificateSigner::Shutdown() {
  signer_.Shutdown();
  // What it is being told reaches a signer that has ended, and does nothing there.
  admission_.Shutdown();
}

}  // namespace meshca
