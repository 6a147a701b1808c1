#include "ca/service/entry_apply.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/status.h"
#include "ca/service/admin_methods.h"
#include "ca/service/entry_message.h"

namespace meshca {
namespace {

namespace v1 = ::meshca::admin::v1;

// As many as a person mends at once.
constexpr int kFaultsMax = 20;
// Of one answer.
constexpr int kIdsMax = 1000;
// Answers about progress, of one apply.
constexpr uint64_t kProgressSteps = 100;

// Collects ids, and sends them when there are enough.
class ResultSender {
 public:
  explicit ResultSender(const EntryApply::Answer& answer) : answer_(answer) {}

  void Add(EntryVerdict verdict, const std::string& id) {
    ListOf(verdict)->Add()->assign(id);
    if (++ids_ == kIdsMax) Send(false);
  }
  void Send(bool finished) {
    message_.set_finished(finished);
    answer_(message_);
    message_.Clear();
    ids_ = 0;
  }

 private:
  google::protobuf::RepeatedPtrField<std::string>* ListOf(EntryVerdict verdict) {
    v1::ApplyEntriesResponse& result = *message_.mutable_result();
    switch (verdict) {
      case EntryVerdict::kCreated: return result.mutable_created();
      case EntryVerdict::kReplaced: return result.mutable_replaced();
      case EntryVerdict::kUnchanged: return result.mutable_unchanged();
      case EntryVerdict::kDeleted: break;
    }
    return result.mutable_deleted();
  }

  const EntryApply::Answer& answer_;
  v1::ApplyEntriesProgress message_;
  int ids_ = 0;
};

}  // namespace

EntryApply::~EntryApply() {
  if (apply_) context_.entry_applies->LeaveApply(*apply_);
}

absl::Status EntryApply::Take(const v1::ApplyEntriesPart& part) {
  if (finished_) return absl::InvalidArgumentError("a part came after the last");
  absl::Status status = Stage(part);
  if (status.ok() && abandoned_) status = absl::CancelledError("the caller went away: nothing was changed");
  if (status.ok() && part.has_end()) {
    status = Finish(part.end());
  } else if (status.ok()) {
    v1::ApplyEntriesProgress progress;
    progress.set_received(received_);
    answer_(progress);
  }
  if (!status.ok()) Drop();
  return status;
}

absl::Status EntryApply::Stage(const v1::ApplyEntriesPart& part) {
  if (context_.entry_applies == nullptr) return absl::UnimplementedError("this server applies no entries in parts");
  if (!apply_) {
    MESHCA_ASSIGN_OR_RETURN(apply_, context_.entry_applies->BeginApply());
  }
  std::vector<GivenEntry> given;
  given.reserve(part.entries_size());
  v1::ApplyEntriesProgress faults;
  absl::Status first;
  for (int i = 0; i < part.entries_size() && faults.faults_size() < kFaultsMax; ++i) {
    absl::StatusOr<RegistrationEntry> entry = admin_methods::ReadEntryMessage(context_, actor_, part.entries(i));
    if (entry.ok()) {
      given.push_back({*std::move(entry), part.entries(i).id().empty()});
      continue;
    }
    const uint64_t place = received_ + i;
    if (first.ok()) first = Annotate(entry.status(), absl::StrCat("entries[", place, "]"));
    v1::EntryFault& fault = *faults.add_faults();
    fault.set_place(place);
    fault.set_sentence(std::string(entry.status().message()));
  }
  if (!first.ok()) {
    answer_(faults);
    return first;
  }
  size_t at = 0;
  absl::Status staged = context_.entry_applies->StageEntries(*apply_, given, &at);
  if (absl::IsInvalidArgument(staged)) return Fault(received_ + at, staged);
  received_ += given.size();
  return staged;
}

absl::Status EntryApply::Finish(const v1::ApplyEntriesEnd& end) {
  AuditEntry audit;
  audit.time = context_.clock.LikelyNow();
  audit.actor = actor_;
  ResultSender result(answer_);
  uint64_t told = 0;
  const auto visit = [&](EntryVerdict verdict, const std::string& id) { result.Add(verdict, id); };
  const auto progress = [&](uint64_t done, uint64_t of) {
    if (of == 0 || done * kProgressSteps / of <= told) return;
    told = done * kProgressSteps / of;
    v1::ApplyEntriesProgress message;
    message.set_received(received_);
    message.set_done(done);
    message.set_of(of);
    answer_(message);
  };
  uint64_t at = 0;
  const absl::StatusOr<EntryApplyCounts> counts = context_.entry_applies->FinishApply(
      *std::exchange(apply_, std::nullopt), {end.prune(), end.dry_run()}, audit, {visit, progress}, &at);
  if (absl::IsAlreadyExists(counts.status()) || absl::IsInvalidArgument(counts.status())) {
    return Fault(at, counts.status());
  }
  MESHCA_RETURN_IF_ERROR(counts.status());
  if (!end.dry_run() && counts->changes() > 0) {
    const absl::Status told = admin_methods::TellOfEntries(context_);
    if (!told.ok())
      return Annotate(told, "the entries were applied and are kept, but this server has not read them yet");
  }
  finished_ = true;
  result.Send(/*finished=*/true);
  return absl::OkStatus();
}

absl::Status EntryApply::Fault(uint64_t place, const absl::Status& why) {
  v1::ApplyEntriesProgress message;
  v1::EntryFault& fault = *message.add_faults();
  fault.set_place(place);
  fault.set_sentence(std::string(why.message()));
  answer_(message);
  return Annotate(why, absl::StrCat("entries[", place, "]"));
}

void EntryApply::Drop() {
  if (apply_) context_.entry_applies->DropApply(*std::exchange(apply_, std::nullopt));
}

namespace admin_methods {

absl::StatusOr<v1::ApplyEntriesResponse> ApplyEntries(const AdminContext& context, const std::string& actor,
                                                      const v1::ApplyEntriesRequest& request) {
  v1::ApplyEntriesResponse response;
  EntryApply apply(context, actor,
                   [&](const v1::ApplyEntriesProgress& progress) { response.MergeFrom(progress.result()); });
  v1::ApplyEntriesPart part;
  *part.mutable_entries() = request.entries();
  part.mutable_end()->set_prune(request.prune());
  part.mutable_end()->set_dry_run(request.dry_run());
  MESHCA_RETURN_IF_ERROR(apply.Take(part));
  return response;
}

}  // namespace admin_methods
}  // namespace meshca
