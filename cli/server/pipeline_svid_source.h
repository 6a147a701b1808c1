// Certificates for the keys of SDS subscribers, from this process's issuance pipeline.
#ifndef MESHCA_CLI_SERVER_PIPELINE_SVID_SOURCE_H_
#define MESHCA_CLI_SERVER_PIPELINE_SVID_SOURCE_H_

#include "ca/issuance/issuance_pipeline.h"
#include "sds/svid_source.h"

namespace meshca::cli {

// Submits the public key, without a CSR: the process made the key itself, so there is nothing to prove. Thread-safe.
class PipelineSvidSource final : public sds::SvidSource {
 public:
  // `pipeline` outlives it.
  explicit PipelineSvidSource(IssuancePipeline& pipeline) : pipeline_(pipeline) {}

  void Obtain(sds::SvidRequest request, const SigningKey& key, Done done) override;

 private:
  IssuancePipeline& pipeline_;
};

// The request as the pipeline takes it.
SubmittedRequest ToSubmittedRequest(sds::SvidRequest request, const PublicKey& key);
// What the pipeline issued, without its record. Encodes nothing: this runs on the store's writer thread.
sds::Svid ToSvid(IssuedCertificate issued);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_PIPELINE_SVID_SOURCE_H_
