#include "cli/agent/sign_batcher.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/fault_point.h"
#include "ca/base/status.h"
#include "ca/x509/key_request.h"

namespace meshca::agent {
void SignBatcher::Obtain(sds::SvidRequest request, const SigningKey& key, Done done) {
  absl::StatusOr<Der> csr = MakeKeyRequest(key);
  if (!csr.ok()) return std::move(done)(csr.status());
  Pending pending{{}, request.id, key.public_key(), std::move(done)};
  pending.message.set_csr(std::move(*csr).Release());
  pending.message.set_spiffe_id(request.id.uri());
  const Origin& origin = request.caller.OriginOf(request.id);
  if (origin.kind == OriginKind::kEntry) pending.message.set_entry_id(origin.reference);
  pending.message.set_parent_serial(request.caller.parent_serial);
  executor_.Run([this, pending = std::move(pending)]() mutable { Add(std::move(pending)); });
}

void SignBatcher::Add(Pending pending) {
  if (waiting_.size() >= options_.waiting_max) {
    return std::move(pending.done)(
        absl::ResourceExhaustedError(absl::StrCat(waiting_.size(), " certificates wait to be asked for already")));
  }
  waiting_.push_back(std::move(pending));
  SendWhatMayGo();
}

void SignBatcher::SendWhatMayGo() {
  while (!waiting_.empty() &&
         (in_flight_ == 0 || (waiting_.size() >= options_.batch_max && in_flight_ < options_.in_flight_max))) {
    Batch batch;
    v1::SignRequest request;
    for (; !waiting_.empty() && batch.size() < options_.batch_max; waiting_.pop_front()) {
      *request.add_requests() = std::move(waiting_.front().message);
      batch.push_back(std::move(waiting_.front()));
    }
    ++in_flight_;
    FaultPoint("agent: before it asks for certificates");
    ca_.Call(kSignMethod, request.SerializeAsString(),
             [this, batch = std::move(batch)](absl::StatusOr<std::string> response) mutable {
               --in_flight_;
               TakeAnswer(std::move(batch), response);
               SendWhatMayGo();
             });
  }
}

void SignBatcher::TakeAnswer(Batch batch, const absl::StatusOr<std::string>& response) {
  if (response.ok()) FaultPoint("agent: after certificates have come");
  v1::SignResponse answer;
  absl::Status whole;
  if (!response.ok()) {
    whole = OfOneRequest(response.status());
  } else if (!answer.ParseFromString(*response)) {
    whole = absl::InternalError("the CA's answer cannot be read");
  } else if (answer.results_size() != static_cast<int>(batch.size())) {
    whole = absl::InternalError(
        absl::StrCat("the CA gave ", answer.results_size(), " answers to ", batch.size(), " requests"));
  }
  for (size_t i = 0; i < batch.size(); ++i) {
    if (!whole.ok()) {
      std::move(batch[i].done)(whole);
    } else {
      std::move(batch[i].done)(ReadResult(answer.results(static_cast<int>(i)), batch[i]));
    }
  }
}

absl::StatusOr<sds::Svid> SignBatcher::ReadResult(const v1::CertificateResult& result, const Pending& pending) {
  MESHCA_RETURN_IF_ERROR(RefusalOf(result));
  const std::shared_ptr<const ChainVerifier> verifier = trust_.verifier();
  if (verifier == nullptr) return absl::UnavailableError("this agent was not told yet what to trust");
  return reader_.Read(result.chain(), pending.key, pending.id, *verifier, clock_.LikelyNow());
}

}  // namespace meshca::agent
