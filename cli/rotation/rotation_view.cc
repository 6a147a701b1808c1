#include "cli/rotation/rotation_view.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "ca/base/counted.h"
#include "ca/base/printable.h"
#include "ca/base/utc_text.h"
#include "ca/service/proto_time.h"
#include "ca/subscribers/laggard.h"
#include "ca/subscribers/subscriber_record.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"
#include "cli/terminal/progress_bar.h"
#include "cli/terminal/table.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

constexpr std::array<absl::string_view, 5> kSteps = {"prepare", "distribute", "reissue", "drain", "retire"};
constexpr size_t kBarCells = 30;

// 1 to 5; 0: none of them runs.
size_t StepNumber(absl::string_view step) {
  const auto* const found = std::find(kSteps.begin(), kSteps.end(), step);
  return found == kSteps.end() ? 0 : static_cast<size_t>(found - kSteps.begin()) + 1;
}

std::string StepText(const v1::RotationStatus& status) {
  const size_t number = StepNumber(status.step());
  return number == 0 ? status.step() : absl::StrCat(status.step(), " (step ", number, " of ", kSteps.size(), ")");
}

// "2 of 40 subscribers and 12 certificates are behind".
std::string BehindText(const v1::RotationStatus& status) {
  std::vector<std::string> parts;
  if (status.subscribers_behind() > 0) {
    parts.push_back(absl::StrCat(status.subscribers_behind(), " of ", Counted(status.subscribers(), "subscriber")));
  }
  if (status.leaves_behind() > 0) parts.push_back(Counted(status.leaves_behind(), "certificate"));
  if (parts.empty()) return absl::StrCat("nobody is behind (", Counted(status.subscribers(), "subscriber"), ")");
  const bool one = status.subscribers_behind() + status.leaves_behind() == 1;
  return absl::StrCat(absl::StrJoin(parts, " and "), one ? " is behind" : " are behind");
}

std::string EndText(const v1::RotationStatus& status) {
  if (!status.has_ends_about()) return "nobody can know: somebody who is connected has to act first";
  const absl::Time ends = ToTime(status.ends_about());
  return absl::StrCat("in about ", ShortDuration(ends - ToTime(status.now())), ", ", UtcText(ends));
}

void Line(std::FILE* out, absl::string_view label, absl::string_view value) { Put(out, "%-14s%s\n", label, value); }

void LineUnlessEmpty(std::FILE* out, absl::string_view label, absl::string_view value) {
  if (!value.empty()) Line(out, label, value);
}

// How it was begun and what became of it: "3, automatic, emergency, rolled back".
std::string Kind(const v1::RotationStatus& status) {
  std::string kind = absl::StrCat(status.number(), status.automatic() ? ", goes on by itself" : ", step by step");
  if (status.emergency()) absl::StrAppend(&kind, ", EMERGENCY: the root that goes is taken for stolen");
  if (status.rolled_back()) absl::StrAppend(&kind, ", ROLLED BACK");
  return kind;
}

void PrintProgress(const v1::RotationStatus& status, std::FILE* out) {
  if (status.retire_sequence() > 0) {
    Line(out, "bundle", absl::StrCat("version ", status.retire_sequence(), " is without the root that goes"));
  } else if (status.bundle_sequence() > 0) {
    Line(out, "bundle", absl::StrCat("version ", status.bundle_sequence(), " holds both"));
  }
  if (!status.running()) return;
  Line(out, "progress",
       absl::StrCat(BehindText(status),
                    status.has_as_of() ? absl::StrCat(", as of ", UtcText(ToTime(status.as_of()))) : ""));
  if (status.reissue_left() > 0) Line(out, "re-issue", Counted(status.reissue_left(), "key to go", "keys to go"));
  LineUnlessEmpty(out, "waiting", status.waiting_for());
  Line(out, "ends", EndText(status));
  if (status.has_grace_ends()) {
    Line(out, "grace",
         absl::StrCat(UtcText(ToTime(status.grace_ends())),
                      ": subscribers that are silent then are named, and it goes on without them"));
  }
  if (status.has_deadline()) {
    Line(out, "deadline", absl::StrCat(UtcText(ToTime(status.deadline())), ": whoever is behind then is cut off"));
  }
}

void PrintTroubles(const v1::RotationStatus& status, std::FILE* out) {
  LineUnlessEmpty(out, "forced", status.forced());
  if (!status.frozen().empty()) {
    Line(out, "FROZEN", absl::StrCat(status.frozen(), "; nothing moves until the clock can be believed: meshca check"));
  }
  LineUnlessEmpty(out, "ERROR", status.error());
  LineUnlessEmpty(out, "ERROR", status.authority_error());
  for (const std::string& warning : status.warnings()) Line(out, "warning", warning);
}

void PrintLaggards(const v1::RotationStatus& status, std::FILE* out) {
  if (status.laggards().empty()) return;
  Put(out, "\nwho is behind\n");
  for (const v1::Laggard& laggard : status.laggards()) {
    Put(out, "  %s\n", LaggardLine(laggard, status));
    const std::string advice = LaggardAdvice(laggard);
    if (!advice.empty()) Put(out, "      -> %s\n", advice);
  }
  const uint64_t all = status.subscribers_behind() + status.leaves_behind();
  const auto shown = static_cast<uint64_t>(status.laggards_size());
  if (all > shown) Put(out, "  and %llu more\n", static_cast<unsigned long long>(all - shown));
}

void PrintRoots(const v1::RotationStatus& status, std::FILE* out) {
  PutText(out, "\n");
  Table table({"ROOT", "STATE", "LIVE", "UNTIL (UTC)", "SUBJECT"}, out);
  for (const v1::Authority& root : status.roots()) {
    table.Add({root.id(), root.tainted() ? root.state() + ", tainted" : root.state(),
               std::to_string(root.live_certificates()), ShowTime(root, "not_after"), root.subject()});
  }
}

// What an operator may do now.
std::string Next(const v1::RotationStatus& status) {
  const size_t step = StepNumber(status.step());
  if (!status.running()) return "meshca root rotate --plan says what a rotation would do and who would break";
  const absl::string_view back = step <= 2                            ? "; meshca root abort takes it back"
                                 : step <= 4 && !status.rolled_back() ? "; meshca root rollback takes it back"
                                                                      : "";
  if (status.automatic() || step == 5) {
    return absl::StrCat("it goes on by itself: meshca root status --watch follows it", back);
  }
  return absl::StrCat("meshca root ", step <= 2 ? "activate" : "retire",
                      ", which refuses while somebody would break; or meshca root rotate, and it goes on by itself",
                      back);
}

std::string HoldsText(const v1::Laggard& laggard, const v1::RotationStatus& status) {
  const uint64_t wanted = status.step() == "retire" ? status.retire_sequence() : status.bundle_sequence();
  const std::string holds = laggard.bundle_sequence() == 0 ? std::string("has acknowledged no bundle")
                                                           : absl::StrCat("holds bundle ", laggard.bundle_sequence());
  return wanted > laggard.bundle_sequence() ? absl::StrCat(holds, ", needs ", wanted) : holds;
}

// An object that the roots are published in, and nobody who is connected.
bool IsPublished(const v1::Laggard& laggard) { return laggard.via() == kPublishedKind; }

bool IsExported(const v1::Laggard& laggard) {
  return laggard.reason() == LaggardReasonName(Laggard::Reason::kExported);
}

std::string WhoText(const v1::Laggard& laggard) {
  Laggard named;
  named.spiffe_id = laggard.spiffe_id();
  named.instance = laggard.instance();
  named.node = laggard.node();
  named.via = laggard.via();
  if (IsExported(laggard)) named.reason = Laggard::Reason::kExported;
  return LaggardName(named);
}

std::string ReasonText(const v1::Laggard& laggard, const v1::RotationStatus& status) {
  if (laggard.reason() == "not-acknowledged") return HoldsText(laggard, status);
  if (laggard.reason() == "rejected" && IsPublished(laggard)) return "not as it should be";
  if (laggard.reason() == "rejected") return absl::StrCat("rejected the bundle, ", HoldsText(laggard, status));
  if (laggard.reason() == "old-key") {
    return laggard.serial().empty() ? std::string("has not acknowledged a key under the new root")
                                    : absl::StrCat("its key is under the old root, certificate ", laggard.serial());
  }
  if (laggard.reason() == "live-leaf") {
    return absl::StrCat("certificate ", laggard.serial(), laggard.via().empty() ? "" : " of ", laggard.via(),
                        " is not renewed");
  }
  if (IsExported(laggard)) return "may sign elsewhere under the old root";
  if (laggard.reason() == "roots-unobserved") return "takes its key here and its roots elsewhere";
  return laggard.reason();
}

}  // namespace

std::vector<std::string> EmergencyLines(const v1::RotationStatus& status) {
  if (!status.running() || !status.emergency()) return {};
  std::vector<std::string> lines = {
      "emergency: the root that goes is tainted; what it signed is believed where this CA has a record of it, "
      "until that root is retired"};
  if (status.has_emergency_grace()) {
    lines.push_back(absl::StrCat("subscribers that have not acknowledged ",
                                 ShortDuration(ToDuration(status.emergency_grace())),
                                 " after a step began are named, and it goes on without them"));
  } else {
    lines.push_back(
        "it waits for every subscriber, however long one is silent; meshca subscriber evict goes on without one");
  }
  if (status.has_deadline()) {
    lines.push_back(absl::StrCat("whoever is behind at ", UtcText(ToTime(status.deadline())),
                                 " is named and cut off, clients with certificates of their own included"));
  } else {
    lines.push_back(
        "certificates of clients that take nothing from here hold the retirement up until they end, are "
        "renewed or revoked (meshca cert revoke); --deadline cuts them off");
  }
  return lines;
}

std::string ShortId(absl::string_view id) { return id.empty() ? "-" : ShortenHex(id); }

std::string LaggardLine(const v1::Laggard& laggard, const v1::RotationStatus& status) {
  const absl::Time now = ToTime(status.now());
  std::string line = absl::StrCat(WhoText(laggard), ": ", ReasonText(laggard, status));
  if (laggard.has_since()) {
    const absl::Time since = ToTime(laggard.since());
    absl::StrAppend(&line, "; since ", UtcText(since), " (", ShortDuration(now - since), ")");
  }
  if (laggard.has_until()) {
    const absl::Time until = ToTime(laggard.until());
    absl::StrAppend(&line, "; counts until ", UtcText(until), " (", ShortDuration(until - now), " more)");
  } else if (laggard.connected() && !IsPublished(laggard)) {
    absl::StrAppend(&line, "; counts for as long as it is connected");
  }
  if (laggard.has_renews_by()) {
    absl::StrAppend(&line, "; renews by itself at the latest at ", UtcText(ToTime(laggard.renews_by())));
  }
  if (!laggard.detail().empty()) absl::StrAppend(&line, ": ", laggard.detail());
  return Printable(line);
}

std::string LaggardAdvice(const v1::Laggard& laggard) {
  // Where the detail is no quotation it is the server's own advice.
  if (laggard.reason() != "rejected" && !laggard.detail().empty()) return "";
  if (IsPublished(laggard)) return "mend what the API server says; it is written again by itself";
  if (laggard.reason() == "roots-unobserved") {
    return "see to it that it trusts the new root, then: meshca root retire --confirm-external";
  }
  if (laggard.instance().empty()) return "renew it where it was requested, or wait for its end";
  if (!laggard.connected()) {
    return Printable(absl::StrCat("gone for good? meshca subscriber evict ", laggard.instance()));
  }
  return Printable(
      absl::StrCat("it is connected: look at its log, restart it, or go on without it: meshca subscriber evict ",
                   laggard.instance()));
}

double RotationPart(const v1::RotationStatus& status) {
  const size_t step = StepNumber(status.step());
  if (step == 0) return status.step() == "done" ? 1 : 0;
  const bool reissue = status.step() == "reissue";
  const uint64_t behind = reissue ? status.reissue_left() : status.subscribers_behind() + status.leaves_behind();
  const uint64_t all = reissue ? std::max(status.subscribers(), behind) : status.subscribers() + status.leaves_behind();
  const double within = all == 0 ? 0 : 1 - static_cast<double>(std::min(behind, all)) / static_cast<double>(all);
  return (static_cast<double>(step - 1) + within) / static_cast<double>(kSteps.size());
}

std::string RotationLine(const v1::RotationStatus& status) {
  std::string line = StepText(status);
  if (!status.running()) return line;
  absl::StrAppend(&line, ": ", BehindText(status));
  if (!status.waiting_for().empty()) absl::StrAppend(&line, "; ", status.waiting_for());
  if (!status.frozen().empty()) absl::StrAppend(&line, "; FROZEN: ", status.frozen());
  if (!status.error().empty()) absl::StrAppend(&line, "; ERROR: ", status.error());
  return Printable(line);
}

std::vector<std::string> RotationLines(const v1::RotationStatus& status, size_t laggards_max) {
  const absl::Duration age = ToTime(status.now()) - ToTime(status.step_at());
  std::vector<std::string> lines = {
      absl::StrCat("rotation ", status.number(), ": ", StepText(status), ", for ", ShortDuration(age)),
      absl::StrCat(ProgressBar(RotationPart(status), kBarCells), "  ", BehindText(status))};
  if (status.reissue_left() > 0) lines.push_back(absl::StrCat(Counted(status.reissue_left(), "key"), " to re-issue"));
  if (!status.waiting_for().empty()) lines.push_back(status.waiting_for());
  if (status.running()) lines.push_back(absl::StrCat("ends ", EndText(status)));
  if (!status.frozen().empty()) lines.push_back(absl::StrCat("FROZEN: ", status.frozen()));
  if (!status.error().empty()) lines.push_back(absl::StrCat("ERROR: ", status.error()));
  const auto shown = std::min<uint64_t>(laggards_max, static_cast<uint64_t>(status.laggards_size()));
  for (uint64_t i = 0; i < shown; ++i) {
    lines.push_back(absl::StrCat("  ", LaggardLine(status.laggards(static_cast<int>(i)), status)));
  }
  const uint64_t all = status.subscribers_behind() + status.leaves_behind();
  if (shown > 0 && all > shown) lines.push_back(absl::StrCat("  and ", all - shown, " more: meshca root status"));
  return lines;
}

void PrintRotation(const v1::RotationStatus& status, std::FILE* out) {
  if (status.number() == 0) {
    Line(out, "rotation", "there never was one");
  } else {
    const absl::Time now = ToTime(status.now());
    const absl::Time step_at = ToTime(status.step_at());
    Line(out, "rotation", Kind(status));
    Line(out, "begun", absl::StrCat(UtcText(ToTime(status.started_at())), " by ", status.actor()));
    Line(out, "step", absl::StrCat(StepText(status), " since ", UtcText(step_at), ", ", ShortDuration(now - step_at)));
    Line(out, status.running() ? "goes" : "went", status.old_root_id());
    Line(out, status.running() ? "stays" : "stayed", status.new_root_id());
    PrintProgress(status, out);
  }
  PrintTroubles(status, out);
  PrintLaggards(status, out);
  PrintRoots(status, out);
  Put(out, "\nnext: %s\n", Next(status));
}

void PrintForecast(const v1::RotationForecast& forecast, std::FILE* out) {
  {
    Table table({"STEP", "ABOUT", "WHAT"}, out);
    for (const v1::RotationForecast::Step& step : forecast.steps()) {
      table.Add(
          {step.step(), step.has_about() ? ShortDuration(ToDuration(step.about())) : "nobody can know", step.what()});
    }
  }
  Put(out, "\n%-14s%s\n", "in all",
      forecast.has_total() ? absl::StrCat("about ", ShortDuration(ToDuration(forecast.total())))
                           : "nobody can know: somebody who is connected has to act first");
  Line(out, "concerns",
       absl::StrCat(Counted(forecast.subscribers(), "subscriber"), " and ",
                    Counted(forecast.live_leaves(), "live certificate")));
  for (const std::string& warning : forecast.warnings()) Line(out, "warning", warning);
  const uint64_t at_risk = forecast.subscribers_at_risk() + forecast.leaves_at_risk();
  if (at_risk == 0) {
    Line(out, "at risk", "nobody, even if it were forced through at once");
  } else {
    Line(out, "at risk",
         absl::StrCat("forced through at once it would break ", Counted(forecast.subscribers_at_risk(), "subscriber"),
                      " and ", Counted(forecast.leaves_at_risk(), "certificate"), "; unforced it waits for them"));
    const v1::RotationStatus no_rotation;
    for (const v1::Laggard& each : forecast.at_risk()) {
      v1::Laggard who = each;
      who.clear_since();
      who.clear_until();
      Put(out, "  %s\n", LaggardLine(who, no_rotation));
    }
    const auto shown = static_cast<uint64_t>(forecast.at_risk_size());
    if (at_risk > shown) Put(out, "  and %llu more\n", static_cast<unsigned long long>(at_risk - shown));
  }
  Put(out, "\nnothing was changed; next: meshca root rotate\n");
}

}  // namespace meshca::cli
