#include "ca/service/admin_service.h"

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/edge/credentials.h"
#include "ca/edge/edge_status.h"
#include "ca/edge/worker_pool.h"
#include "ca/rpc/protobuf_payload.h"
#include "ca/service/admin_methods.h"
#include "ca/service/entry_apply_stream.h"
#include "ca/service/entry_message.h"
#include "ca/service/record_stream.h"

namespace meshca {
namespace {

constexpr absl::string_view kService = "/meshca.admin.v1.Admin/";
constexpr size_t kThreads = 2;
constexpr size_t kQueueMax = 64;
// Lists have threads of their own: two that a slow client holds up never keep `meshca status` waiting.
constexpr size_t kListThreads = 2;
constexpr size_t kListQueueMax = 8;
// More parts than applies may be open, and few enough to be held: each waits as it came.
constexpr size_t kApplyQueueMax = 32;
constexpr size_t kApplyPartBytesMax = 1024 * 1024;
constexpr absl::Duration kStallMax = absl::Minutes(1);
// `entry apply -f` brings whole files.
constexpr size_t kAdminRequestBytesMax = 4 * 1024 * 1024;

absl::Status RequireUnixSocket(const rpc::Peer& peer) {
  if (peer.transport == rpc::Transport::kUnix) return absl::OkStatus();
  return WithReason(absl::PermissionDeniedError("the admin API answers on its Unix socket only"), "ADMIN_SOCKET_ONLY");
}

absl::Status Busy() {
  return WithReason(absl::ResourceExhaustedError("too many admin calls are waiting; try again in a moment"),
                    "QUEUE_FULL");
}

}  // namespace

class AdminService::Impl {
 public:
  explicit Impl(AdminContext context)
      : context_(std::move(context)),
        calls_(kThreads, kQueueMax),
        lists_(kListThreads, kListQueueMax),
        applies_(1, kApplyQueueMax) {}

  template <typename Request, typename Response>
  void Unary(rpc::Router& router, absl::string_view name,
             absl::StatusOr<Response> (*method)(const AdminContext&, const std::string&, const Request&)) {
    router.AddUnary(absl::StrCat(kService, name),
                    [this, method](std::shared_ptr<rpc::Call> call) {
                      const absl::Status allowed = RequireUnixSocket(*call->peer());
                      if (!allowed.ok()) return call->Finish(allowed);
                      const bool queued = calls_.Submit([this, method, call] { RunUnary(*call, method); });
                      if (!queued) call->Finish(Busy());
                    },
                    {.request_bytes_max = kAdminRequestBytesMax});
  }

  void ApplyInParts(rpc::Router& router) {
    router.AddStream(absl::StrCat(kService, "ApplyEntriesInParts"),
                     [this](rpc::Stream& stream) -> std::unique_ptr<rpc::StreamHandler> {
                       const absl::Status allowed = RequireUnixSocket(*stream.peer());
                       if (!allowed.ok()) {
                         stream.Finish(allowed);
                         return nullptr;
                       }
                       return std::make_unique<EntryApplyStream>(stream, context_, ActorOf(*stream.peer()), applies_);
                     },
                     {.message_bytes_max = kApplyPartBytesMax});
  }

  template <typename Request, typename Record>
  void List(rpc::Router& router, absl::string_view name,
            absl::Status (*method)(const AdminContext&, const std::string&, const Request&,
                                   const admin_methods::Emit<Record>&)) {
    router.AddStream(absl::StrCat(kService, name),
                     [this, method](rpc::Stream& stream) -> std::unique_ptr<rpc::StreamHandler> {
                       const absl::Status allowed = RequireUnixSocket(*stream.peer());
                       if (!allowed.ok()) {
                         stream.Finish(allowed);
                         return nullptr;
                       }
                       const std::string actor = ActorOf(*stream.peer());
                       return std::make_unique<RecordStream>(
                           stream, kStallMax, [this, method, actor](std::string request, auto sink) -> absl::Status {
                             const bool queued = lists_.Submit([this, method, actor, request = std::move(request),
                                                                sink] { RunList(actor, request, sink, method); });
                             return queued ? absl::OkStatus() : Busy();
                           });
                     });
  }

 private:
  template <typename Request, typename Response>
  void RunUnary(rpc::Call& call,
                absl::StatusOr<Response> (*method)(const AdminContext&, const std::string&, const Request&)) {
    if (call.cancelled()) return call.Finish(absl::CancelledError("the caller went away"));
    Request request;
    absl::Status status;
    if constexpr (std::is_same_v<Request, admin::v1::ApplyEntriesRequest>)
      status = admin_methods::CheckEntryCount(call.request());
    if (status.ok()) status = rpc::ParseMessage(call.request(), request);
    if (status.ok()) {
      const absl::StatusOr<Response> response = method(context_, ActorOf(*call.peer()), request);
      if (response.ok()) return call.Finish(rpc::Frame(*response));
      status = response.status();
    }
    call.Finish(AdminEdgeStatus(status, call.method(), context_.entropy));
  }

  template <typename Request, typename Record>
  void RunList(const std::string& actor, const std::string& bytes, const std::shared_ptr<RecordSink>& sink,
               absl::Status (*method)(const AdminContext&, const std::string&, const Request&,
                                      const admin_methods::Emit<Record>&)) {
    Request request;
    absl::Status status = rpc::ParseMessage(bytes, request);
    if (status.ok()) {
      status = method(context_, actor, request, [&](const Record& record) { return sink->Push(rpc::Frame(record)); });
    }
    sink->End(AdminEdgeStatus(status, "admin list", context_.entropy));
  }

  const AdminContext context_;
  WorkerPool calls_;
  WorkerPool lists_;
  WorkerPool applies_;
};

AdminService::AdminService(AdminContext context) : impl_(std::make_unique<Impl>(std::move(context))) {}
AdminService::~AdminService() = default;

void AdminService::AddTo(rpc::Router& router) {
  namespace m = admin_methods;
  impl_->Unary(router, "GetStatus", m::GetStatus);
  impl_->Unary(router, "Check", m::Check);
  impl_->Unary(router, "AcceptClock", m::AcceptClock);
  impl_->Unary(router, "ListAuthorities", m::ListAuthorities);
  impl_->Unary(router, "ImportRoot", m::ImportRoot);
  impl_->Unary(router, "ExportAuthority", m::ExportAuthority);
  impl_->Unary(router, "GetBundle", m::GetBundle);
  impl_->Unary(router, "GetRotation", m::GetRotation);
  impl_->Unary(router, "ForecastRotation", m::ForecastRotation);
  impl_->Unary(router, "BeginRotation", m::BeginRotation);
  impl_->Unary(router, "ActivateRoot", m::ActivateRoot);
  impl_->Unary(router, "RetireRoot", m::RetireRoot);
  impl_->Unary(router, "AbortRotation", m::AbortRotation);
  impl_->Unary(router, "RollBackRotation", m::RollBackRotation);
  impl_->Unary(router, "TaintAuthority", m::TaintAuthority);
  impl_->Unary(router, "ListJwtKeys", m::ListJwtKeys);
  impl_->Unary(router, "RotateJwtKeys", m::RotateJwtKeys);
  impl_->Unary(router, "TaintJwtKey", m::TaintJwtKey);
  impl_->Unary(router, "MintJwt", m::MintJwt);
  impl_->List(router, "ListCertificates", m::ListCertificates);
  impl_->Unary(router, "GetCertificate", m::GetCertificate);
  impl_->Unary(router, "RenewCertificates", m::RenewCertificates);
  impl_->Unary(router, "RevokeCertificates", m::RevokeCertificates);
  impl_->Unary(router, "CreateToken", m::CreateToken);
  impl_->Unary(router, "ListTokens", m::ListTokens);
  impl_->Unary(router, "DeleteToken", m::DeleteToken);
  impl_->Unary(router, "CreateEntry", m::CreateEntry);
  impl_->Unary(router, "ApplyEntries", m::ApplyEntries);
  impl_->ApplyInParts(router);
  impl_->Unary(router, "ListEntries", m::ListEntries);
  impl_->Unary(router, "GetEntry", m::GetEntry);
  impl_->Unary(router, "DeleteEntry", m::DeleteEntry);
  impl_->Unary(router, "ListNodes", m::ListNodes);
  impl_->Unary(router, "GetNode", m::GetNode);
  impl_->Unary(router, "BanNode", m::BanNode);
  impl_->Unary(router, "ForgetNode", m::ForgetNode);
  impl_->Unary(router, "ListSubscribers", m::ListSubscribers);
  impl_->Unary(router, "GetSubscriber", m::GetSubscriber);
  impl_->Unary(router, "EvictSubscriber", m::EvictSubscriber);
  impl_->Unary(router, "EvictSubscribers", m::EvictSubscribers);
  impl_->Unary(router, "BackupDatabase", m::BackupDatabase);
  impl_->Unary(router, "CheckDatabase", m::CheckDatabase);
  impl_->List(router, "ListAudit", m::ListAudit);
}

}  // namespace meshca
