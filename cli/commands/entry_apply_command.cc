#include "cli/commands/entry_apply_command.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "ca/base/status.h"
#include "cli/client/input_file.h"
#include "cli/config/loader.h"
#include "cli/terminal/live_lines.h"
#include "cli/terminal/output.h"
#include "cli/terminal/progress_bar.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

// Of one part: enough that the answer costs little, few enough that the server is done with it at once.
constexpr int kPartEntries = 500;
constexpr size_t kPartBytes = 256 * 1024;
constexpr size_t kWarningsMax = 20;
constexpr size_t kBarCells = 30;
constexpr absl::Duration kRedraw = absl::Milliseconds(100);

// How far it is, on a terminal alone.
class Progress {
 public:
  Progress() {
    if (::isatty(STDERR_FILENO)) lines_.emplace(stderr, [] { return TerminalWidth(stderr); });
  }
  ~Progress() {
    if (lines_) lines_->Clear();
  }
  void ShowSent(uint64_t entries) { Redraw(absl::StrCat("entries sent: ", entries)); }
  void ShowDone(uint64_t done, uint64_t of) {
    if (of > 0)
      Redraw(absl::StrCat(ProgressBar(static_cast<double>(done) / static_cast<double>(of), kBarCells), "  applying"));
  }

 private:
  void Redraw(const std::string& line) {
    if (!lines_ || absl::Now() - drawn_ < kRedraw) return;
    drawn_ = absl::Now();
    lines_->Redraw({line});
  }

  std::optional<LiveLines> lines_;
  absl::Time drawn_ = absl::InfinitePast();
};

// Where each entry stands, over all files: a fault is told by the server as a number.
class Places {
 public:
  void BeginFile(std::string name) { files_.push_back({std::move(name), places_.size()}); }
  void Add(config::Place place) { places_.push_back(place); }
  size_t size() const { return places_.size(); }

  // "entries.yaml:3:5: entries[0]: ".
  std::string Text(uint64_t number) const {
    if (number >= places_.size()) return absl::StrCat("entries[", number, "]: ");
    const auto after = std::upper_bound(files_.begin(), files_.end(), number,
                                        [](uint64_t wanted, const File& file) { return wanted < file.first; });
    const File& file = *std::prev(after);
    const config::Place place = places_[number];
    return absl::StrCat(file.name, ":", place.line, ":", place.column, ": entries[", number - file.first, "]: ");
  }

 private:
  struct File {
    std::string name;
    uint64_t first;
  };
  std::vector<File> files_;
  std::vector<config::Place> places_;
};

// The sending end of one apply.
class Sender {
 public:
  Sender(RpcClient& admin, const Places& places, Progress& progress)
      : admin_(admin), places_(places), progress_(progress) {}

  absl::Status Add(const v1::Entry& entry) {
    *part_.add_entries() = entry;
    bytes_ += entry.ByteSizeLong();
    if (part_.entries_size() < kPartEntries && bytes_ < kPartBytes) return absl::OkStatus();
    return Send();
  }

  // Ends the apply; what became of which entries.
  absl::StatusOr<v1::ApplyEntriesResponse> End(bool prune, bool dry_run) {
    part_.mutable_end()->set_prune(prune);
    part_.mutable_end()->set_dry_run(dry_run);
    MESHCA_RETURN_IF_ERROR(Send());
    v1::ApplyEntriesResponse response;
    for (;;) {
      response.MergeFrom(answer_.result());
      if (answer_.finished()) return response;
      progress_.ShowDone(answer_.done(), answer_.of());
      MESHCA_ASSIGN_OR_RETURN(const bool more, stream_->Next(answer_));
      if (!more) return absl::InternalError("the server ended the call before its answer");
      MESHCA_RETURN_IF_ERROR(Faults());
    }
  }

 private:
  absl::Status Send() {
    if (stream_ == nullptr) {
      stream_ = admin_.Open("/meshca.admin.v1.Admin/ApplyEntriesInParts", {.timeout = absl::InfiniteDuration()});
    }
    answer_.Clear();
    const absl::Status sent = stream_->Exchange(part_, answer_);
    part_.Clear();
    bytes_ = 0;
    MESHCA_RETURN_IF_ERROR(sent);
    progress_.ShowSent(answer_.received());
    return Faults();
  }

  // What the server found wrong, each with its place; the reason is that of the call's end.
  absl::Status Faults() {
    if (answer_.faults().empty()) return absl::OkStatus();
    std::vector<std::string> lines;
    for (const v1::EntryFault& fault : answer_.faults()) {
      lines.push_back(absl::StrCat(places_.Text(fault.place()), fault.sentence()));
    }
    absl::Status end = absl::InvalidArgumentError("");
    for (bool more = true; more;) {
      const absl::StatusOr<bool> next = stream_->Next(answer_);
      more = next.ok() && *next;
      if (!next.ok()) end = next.status();
    }
    lines.push_back("nothing was changed");
    absl::Status status(end.code(), absl::StrJoin(lines, "\n"));
    const std::string reason = ReasonOf(end);
    return reason.empty() ? status : WithReason(std::move(status), reason);
  }

  RpcClient& admin_;
  const Places& places_;
  Progress& progress_;
  std::unique_ptr<RpcStream> stream_;
  v1::ApplyEntriesPart part_;
  size_t bytes_ = 0;
  v1::ApplyEntriesProgress answer_;
};

void PrintSummary(const v1::ApplyEntriesResponse& response, bool dry_run) {
  Out("%s%d created, %d replaced, %d unchanged, %d deleted\n", dry_run ? "would be " : "", response.created_size(),
      response.replaced_size(), response.unchanged_size(), response.deleted_size());
}

}  // namespace

std::string WarningOfProgramAlone(const v1::Entry& entry) {
  // A path or a digest names a program. All other kinds name whom the system started it as.
  const auto names_program = [](const std::string& selector) {
    return absl::StartsWith(selector, "unix:path:") || absl::StartsWith(selector, "unix:sha256:");
  };
  if (!std::all_of(entry.selectors().begin(), entry.selectors().end(), names_program)) return "";
  return absl::StrCat("warning: ", entry.spiffe_id(), ": any user who may run ",
                      absl::StrJoin(entry.selectors(), " and "),
                      " can hold this identity; add --selector unix:uid:N or unix:gid:N");
}

void BindApply(CLI::App& app, ApplyOptions& options) {
  app.add_option("-f,--file", options.files,
                 "YAML or JSON file: `entries:`, a list of spiffe_id, selectors, nodes, ttl, jwt_ttl, dns_names, "
                 "hint, id; - is standard input; may be repeated")
      ->required()
      ->type_name("FILE")
      ->allow_extra_args(false);
  app.add_flag("--prune", options.prune, "Also delete every entry the files do not have");
  app.add_flag("--dry-run", options.dry_run, "Only say what would happen");
}

absl::Status ApplyEntryFiles(Session& session, ApplyOptions& options) {
  if (std::count(options.files.begin(), options.files.end(), "-") > 1) {
    return UsageError("--file: standard input can be read once");
  }
  MESHCA_ASSIGN_OR_RETURN(RpcClient* const admin, session.Admin());
  v1::ApplyEntriesRequest wanted;
  v1::ApplyEntriesResponse response;
  std::vector<std::string> warnings;
  size_t more_warnings = 0;
  {
    Places places;
    Progress progress;
    Sender sender(*admin, places, progress);
    for (const std::string& file : options.files) {
      MESHCA_ASSIGN_OR_RETURN(const std::string text, ReadInput(file));
      places.BeginFile(InputName(file));
      v1::ApplyEntriesRequest rest;
      v1::Entry entry;
      absl::Status sent;
      const absl::Status read = config::LoadYamlList(text, InputName(file), "entries", rest, entry, [&](auto place) {
        places.Add(place);
        if (std::string warning = WarningOfProgramAlone(entry); !warning.empty()) {
          if (warnings.size() < kWarningsMax) {
            warnings.push_back(std::move(warning));
          } else {
            ++more_warnings;
          }
        }
        sent = sender.Add(entry);
        return sent.ok();
      });
      MESHCA_RETURN_IF_ERROR(session.Told(sent));
      MESHCA_RETURN_IF_ERROR(read);
      wanted.set_prune(wanted.prune() || rest.prune());
      wanted.set_dry_run(wanted.dry_run() || rest.dry_run());
    }
    wanted.set_prune(wanted.prune() || options.prune);
    wanted.set_dry_run(wanted.dry_run() || options.dry_run);
    absl::StatusOr<v1::ApplyEntriesResponse> ended = sender.End(wanted.prune(), wanted.dry_run());
    if (!ended.ok()) return session.Told(ended.status());
    response = *std::move(ended);
  }
  session.Print(response, [&] { PrintSummary(response, wanted.dry_run()); });
  for (const std::string& warning : warnings) Err("%s\n", warning);
  if (more_warnings > 0) Err("... and %d warnings more\n", more_warnings);
  return absl::OkStatus();
}

}  // namespace meshca::cli
