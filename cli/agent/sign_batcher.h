// Certificates for the keys of this node, signed by the CA.
#ifndef MESHCA_CLI_AGENT_SIGN_BATCHER_H_
#define MESHCA_CLI_AGENT_SIGN_BATCHER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "ca/base/judged_clock.h"
#include "ca/base/serial_executor.h"
#include "ca/x509/public_key.h"
#include "cli/agent/ca_caller.h"
#include "cli/agent/signed_answer.h"
#include "cli/agent/told_trust.h"
#include "meshca/agent/v1/agent.pb.h"
#include "sds/svid_source.h"

namespace meshca::agent {

struct SignBatcherOptions {
  // Of one message; the protocol allows 64.
  size_t batch_max = 64;
  // Messages under way at once, as many as the CA takes of one node. Beyond the first, only full ones are sent.
  size_t in_flight_max = 2;
  // Requests that wait for their turn; more are told ResourceExhausted.
  size_t waiting_max = 4096;
};

// Sends a request at once where no message is under way, and together with all that came meanwhile where one is: no
// timer, no delay when idle. Each request has an outcome of its own: a certificate that is checked (SignedAnswerReader)
// before anybody sees it, or a status. What the CA refuses one request for is told as it is (final where IsFinalRefusal
// says so); a message that fails as a whole, a certificate that cannot be believed, and a CA that is away are never
// final. Requests that wait when the connection is shut down end with it.
//
// Obtain: any thread; makes a signature with the key. The rest lives on the executor.
class SignBatcher final : public sds::SvidSource {
 public:
  // References outlive it, and it outlives the executor's Shutdown.
  SignBatcher(SignBatcherOptions options, CaCaller& ca, const ToldTrust& trust, const JudgedClock& clock,
              SerialExecutor& executor)
      : options_(options), ca_(ca), trust_(trust), clock_(clock), executor_(executor) {}

  void Obtain(sds::SvidRequest request, const SigningKey& key, Done done) override;

 private:
  struct Pending {
    v1::CertificateRequest message;
    SpiffeId id;
    PublicKey key;
    Done done;
  };
  using Batch = std::vector<Pending>;

  // The executor's thread.
  void Add(Pending pending);
  void SendWhatMayGo();
  void TakeAnswer(Batch batch, const absl::StatusOr<std::string>& response);
  absl::StatusOr<sds::Svid> ReadResult(const v1::CertificateResult& result, const Pending& pending);

  const SignBatcherOptions options_;
  CaCaller& ca_;
  const ToldTrust& trust_;
  const JudgedClock& clock_;
  SerialExecutor& executor_;

  // The executor's.
  std::deque<Pending> waiting_;
  size_t in_flight_ = 0;  // messages
  SignedAnswerReader reader_;
};

}  // namespace meshca::agent

#endif  // MESHCA_CLI_AGENT_SIGN_BATCHER_H_
