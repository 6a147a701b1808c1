#include "sds/workload_jwt.h"

#include <google/protobuf/struct.pb.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "ca/base/mutex.h"
#include "ca/base/secret.h"
#include "ca/base/status.h"
#include "ca/edge/credentials.h"
#include "ca/edge/edge_status.h"
#include "ca/jwt/jwt_svid.h"
#include "ca/rpc/protobuf_payload.h"
#include "sds/workload_request.h"
#include "sds/workload_response.h"
#include "sds/workload_stream.h"
#include "spiffe/workload/workload.pb.h"

namespace meshca::sds {
namespace {

absl::Status ToldStatus(const absl::Status& why) { return SdsEdgeStatus(why, "Workload API"); }

// Judges the caller, then runs `work` on a place of his in the pool; answers `call` with whatever forbids either.
void RunForCaller(const WorkloadJwtParts& parts, std::shared_ptr<rpc::Call> call,
                  absl::AnyInvocable<void(std::shared_ptr<rpc::Call>, const SdsCaller&) &&> work) {
  const std::shared_ptr<const rpc::Peer> peer = call->peer();
  parts.hub->callers().Authenticate(
      peer, "",
      [pool = parts.pool, call = std::move(call),
       work = std::move(work)](absl::StatusOr<std::shared_ptr<const SdsCaller>> caller) mutable {
        if (!caller.ok()) return call->Finish(ToldStatus(caller.status()));
        absl::StatusOr<FairPool::Place> place = pool->Admit(CredentialSource(*call->peer()));
        if (!place.ok()) return call->Finish(ToldStatus(place.status()));
        pool->Submit(*std::move(place),
                     [call = std::move(call), caller = *std::move(caller), work = std::move(work)]() mutable {
                       if (call->cancelled()) return call->Finish(absl::CancelledError("nobody waits any more"));
                       std::move(work)(std::move(call), *caller);
                     });
      });
}

// ---- FetchJWTSVID

// Tokens that are being minted for one call; whoever brings the last one answers.
class JwtFetch : public std::enable_shared_from_this<JwtFetch> {
 public:
  // Tokens for `ids`, which `caller` has.
  JwtFetch(std::shared_ptr<rpc::Call> call, const CallerIdentity& caller, std::vector<SpiffeId> ids)
      : call_(std::move(call)), caller_(caller), ids_(std::move(ids)) {
    UniqueHints hints;
    for (const SpiffeId& id : ids_) {
      svids_.push_back({id.uri(), "", std::string(hints.Take(caller_.HintOf(id)))});
    }
  }
  ~JwtFetch() {
    for (WorkloadJwt& svid : svids_) Wipe(svid.token);
  }

  void Begin(JwtSource& source, const std::vector<std::string>& audiences) {
    for (size_t i = 0; i < ids_.size(); ++i) {
      source.Mint({ids_[i], caller_, audiences}, [self = shared_from_this(), i](absl::StatusOr<MintedJwtSvid> minted) {
        self->Take(i, std::move(minted));
      });
    }
  }

 private:
  void Take(size_t index, absl::StatusOr<MintedJwtSvid> minted) {
    rpc::Payload answer;
    {
      MutexLock lock(mutex_);
      if (answered_) return;
      if (minted.ok()) {
        svids_[index].token = std::move(minted->token);
        if (++minted_ < ids_.size()) return;
        answer = JwtSvidsPayload(svids_);
      }
      answered_ = true;
    }
    if (!minted.ok()) return call_->Finish(ToldStatus(minted.status()));
    call_->Finish(std::move(answer));
  }

  const std::shared_ptr<rpc::Call> call_;
  const CallerIdentity caller_;
  const std::vector<SpiffeId> ids_;
  Mutex mutex_;
  std::vector<WorkloadJwt> svids_ ABSL_GUARDED_BY(mutex_);
  size_t minted_ ABSL_GUARDED_BY(mutex_) = 0;
  bool answered_ ABSL_GUARDED_BY(mutex_) = false;
};

// The identities that `ask` is for.
absl::StatusOr<std::vector<SpiffeId>> WantedIds(const JwtSvidAsk& ask, const SdsCaller& caller, const SecretHub& hub) {
  const TrustDomain& own = hub.trust_domain();
  const std::vector<SpiffeId>& has = caller.identity.ids;
  if (!ask.id.has_value()) {
    MESHCA_RETURN_IF_ERROR(CheckHasIdentities(caller, own, hub.entry_advice()));
    return has;
  }
  if (std::find(has.begin(), has.end(), *ask.id) != has.end()) return std::vector<SpiffeId>{*ask.id};
  const auto& process = caller.peer->unix_credentials;
  const bool entry_helps = process.has_value() && ask.id->MemberOf(own) && !ask.id->IsReserved();
  return WithReason(absl::PermissionDeniedError(absl::StrCat(
                        "FetchJWTSVID: the caller (", caller.identity.subject, ") may not hold ", ask.id->uri(),
                        entry_helps ? "; " : "",
                        entry_helps ? hub.entry_advice().Say("let it", ask.id->uri(), UidSelector(process->uid)) : "")),
                    "SPIFFE_ID_NOT_ALLOWED");
}

// ---- ValidateJWTSVID

void ToValue(const JsonValue& json, google::protobuf::Value& value) {
  switch (json.kind) {
    case JsonValue::Kind::kNull: value.set_null_value(google::protobuf::NULL_VALUE); return;
    case JsonValue::Kind::kBool: value.set_bool_value(json.boolean); return;
    case JsonValue::Kind::kNumber: value.set_number_value(json.number); return;
    case JsonValue::Kind::kString: value.set_string_value(json.text); return;
    case JsonValue::Kind::kArray: {
      auto& list = *value.mutable_list_value();
      for (const JsonValue& item : json.items) ToValue(item, *list.add_values());
      return;
    }
    case JsonValue::Kind::kObject: {
      auto& fields = *value.mutable_struct_value()->mutable_fields();
      for (const JsonMember& member : json.members) ToValue(member.value, fields[member.name]);
      return;
    }
  }
}

void Validate(const ValidateAsk& ask, const SecretHub& hub, const WorkloadBundles& bundles, rpc::Call& call) {
  const auto keys_of = [&bundles](const TrustDomain& domain) { return bundles.JwtKeysOf(domain); };
  const absl::StatusOr<ValidJwtSvid> svid = ValidateJwtSvid(ask.token, ask.audience, keys_of, hub.LikelyNow());
  if (!svid.ok()) {
    // Unauthenticated would be said of the caller. A token that is refused once is refused again.
    if (!absl::IsUnauthenticated(svid.status())) return call.Finish(ToldStatus(svid.status()));
    return call.Finish(WithReason(absl::InvalidArgumentError(svid.status().message()), ReasonOf(svid.status())));
  }
  ValidateJWTSVIDResponse response;
  response.set_spiffe_id(svid->id.uri());
  auto& fields = *response.mutable_claims()->mutable_fields();
  for (const JsonMember& claim : svid->claims.members) ToValue(claim.value, fields[claim.name]);
  call.Finish(rpc::Frame(response));
}

}  // namespace

void FetchJwtSvids(const WorkloadJwtParts& parts, std::shared_ptr<rpc::Call> call) {
  if (const absl::Status header = CheckSecurityHeader(call->client_metadata()); !header.ok()) {
    return call->Finish(header);
  }
  absl::StatusOr<JwtSvidAsk> ask = ReadJwtSvidRequest(call->request());
  if (!ask.ok()) return call->Finish(ask.status());
  RunForCaller(
      parts, std::move(call), [parts, ask = *std::move(ask)](std::shared_ptr<rpc::Call> call, const SdsCaller& caller) {
        absl::StatusOr<std::vector<SpiffeId>> ids = WantedIds(ask, caller, *parts.hub);
        if (!ids.ok()) return call->Finish(ToldStatus(ids.status()));
        if (parts.source == nullptr) {
          return call->Finish(
              WithReason(absl::UnavailableError("FetchJWTSVID: no key for JWT-SVIDs is here; X.509-SVIDs are served"),
                         "NO_JWT_KEY"));
        }
        std::make_shared<JwtFetch>(std::move(call), caller.identity, *std::move(ids))
            ->Begin(*parts.source, ask.audiences);
      });
}

void ValidateJwtSvidFor(const WorkloadJwtParts& parts, std::shared_ptr<rpc::Call> call) {
  if (const absl::Status header = CheckSecurityHeader(call->client_metadata()); !header.ok()) {
    return call->Finish(header);
  }
  absl::StatusOr<ValidateAsk> ask = ReadValidateRequest(call->request());
  if (!ask.ok()) return call->Finish(ask.status());
  RunForCaller(
      parts, std::move(call),
      [hub = parts.hub, ask = *std::move(ask)](std::shared_ptr<rpc::Call> call, const SdsCaller& caller) {
        const std::shared_ptr<const BundleSecrets> bundles = hub->bundles().Current();
        if (bundles == nullptr) {
          return call->Finish(WithReason(absl::UnavailableError("ValidateJWTSVID: the CA is starting"), "STARTING"));
        }
        Validate(ask, *hub, bundles->workload, *call);
      });
}

}  // namespace meshca::sds
