#include "cli/server/pipeline_svid_source.h"

#include <utility>

namespace meshca::cli {

SubmittedRequest ToSubmittedRequest(sds::SvidRequest request, const PublicKey& key) {
  SubmittedRequest submitted;
  submitted.caller = std::move(request.caller);
  submitted.spiffe_id = std::move(request.id);
  submitted.public_key = key;
  return submitted;
}

sds::Svid ToSvid(IssuedCertificate issued) {
  const IssuanceRecord& record = *issued.record;
  sds::Svid svid;
  svid.validity = {record.not_before, record.not_after};
  svid.serial = record.serial.ToHex();
  svid.authority_id = record.authority_id;
  svid.chain = std::move(issued.chain);
  if (issued.authorities != nullptr) {
    // Shares the snapshot's own text: ten thousand renewals encode the issuing certificate once.
    svid.issuers_pem = {issued.authorities, &issued.authorities->chain_tail_pem};
  }
  return svid;
}

void PipelineSvidSource::Obtain(sds::SvidRequest request, const SigningKey& key, Done done) {
  pipeline_.Submit(ToSubmittedRequest(std::move(request), key.public_key()),
                   [done = std::move(done)](absl::StatusOr<IssuedCertificate> issued) mutable {
                     if (!issued.ok()) return std::move(done)(issued.status());
                     std::move(done)(ToSvid(*std::move(issued)));
                   });
}

}  // namespace meshca::cli
