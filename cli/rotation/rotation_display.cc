#include "cli/rotation/rotation_display.h"

#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/printable.h"
#include "ca/base/utc_text.h"
#include "ca/service/proto_time.h"
#include "cli/rotation/rotation_view.h"
#include "cli/terminal/live_lines.h"
#include "cli/terminal/message_text.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

constexpr size_t kLaggardsMax = 5;

std::string AwayText(const absl::Status& why, absl::Duration since, absl::Duration patience) {
  return absl::StrCat("no answer for ", ShortDuration(since), ", asking again for ", ShortDuration(patience - since),
                      ": ", Printable(why.message()));
}

class LiveDisplay final : public RotationDisplay {
 public:
  LiveDisplay(std::FILE* out, std::function<size_t()> width) : lines_(out, std::move(width)) {}

  void ShowStatus(const v1::RotationStatus& status) override {
    last_ = RotationLines(status, kLaggardsMax);
    lines_.Redraw(last_);
  }
  void ShowAway(const absl::Status& why, absl::Duration since, absl::Duration patience) override {
    std::vector<std::string> lines = last_;
    lines.push_back(AwayText(why, since, patience));
    lines_.Redraw(lines);
  }
  void Finish() override { lines_.Clear(); }

 private:
  LiveLines lines_;
  std::vector<std::string> last_;
};

class LineDisplay final : public RotationDisplay {
 public:
  explicit LineDisplay(std::FILE* out) : out_(out) {}

  void ShowStatus(const v1::RotationStatus& status) override {
    if (std::exchange(away_, false)) PrintLine(ToTime(status.now()), "the server answers again");
    // Counts change all the time; a log wants to know why it waits.
    std::string key = absl::StrCat(status.number(), "\n", status.step(), "\n", status.waiting_for(), "\n",
                                   status.frozen(), "\n", status.error());
    if (key == shown_) return;
    shown_ = std::move(key);
    PrintLine(ToTime(status.now()), RotationLine(status));
    last_ = ToTime(status.now());
  }
  void ShowAway(const absl::Status& why, absl::Duration since, absl::Duration patience) override {
    if (!std::exchange(away_, true)) PrintLine(last_, AwayText(why, since, patience));
  }
  void Finish() override {}

 private:
  void PrintLine(absl::Time time, const std::string& line) {
    Put(out_, "%s  %s\n", UtcText(time), line);
    Flush(out_);
  }

  std::FILE* const out_;
  std::string shown_;  // what made the last line
  absl::Time last_ = absl::UnixEpoch();
  bool away_ = false;
};

class DocumentDisplay final : public RotationDisplay {
 public:
  DocumentDisplay(OutputFormat format, std::FILE* out) : format_(format), out_(out) {}

  void ShowStatus(const v1::RotationStatus& status) override {
    // What changes at every look by itself is no news.
    v1::RotationStatus timeless = status;
    timeless.clear_now();
    timeless.clear_as_of();
    timeless.clear_ends_about();
    std::string key = timeless.SerializeAsString();
    if (std::exchange(any_, true) && key == shown_) return;
    shown_ = std::move(key);
    if (format_ == OutputFormat::kYaml) {
      PutText(out_, absl::StrCat("---\n", ToYaml(status)));
    } else {
      Put(out_, "%s\n", ToJson(status));
    }
    Flush(out_);
    away_ = false;
  }
  void ShowAway(const absl::Status& why, absl::Duration since, absl::Duration patience) override {
    if (!std::exchange(away_, true)) Err("%s\n", AwayText(why, since, patience));
  }
  void Finish() override {}

 private:
  const OutputFormat format_;
  std::FILE* const out_;
  std::string shown_;
  bool any_ = false;
  bool away_ = false;
};

}  // namespace

std::unique_ptr<RotationDisplay> MakeLiveDisplay(std::FILE* out, std::function<size_t()> width) {
  return std::make_unique<LiveDisplay>(out, std::move(width));
}

std::unique_ptr<RotationDisplay> MakeLineDisplay(std::FILE* out) { return std::make_unique<LineDisplay>(out); }

std::unique_ptr<RotationDisplay> MakeDocumentDisplay(OutputFormat format, std::FILE* out) {
  return std::make_unique<DocumentDisplay>(format, out);
}

std::unique_ptr<RotationDisplay> MakeDisplay(OutputFormat format) {
  if (format != OutputFormat::kTable) return MakeDocumentDisplay(format, stdout);
  if (::isatty(STDOUT_FILENO)) return MakeLiveDisplay(stdout, [] { return TerminalWidth(stdout); });
  return MakeLineDisplay(stdout);
}

}  // namespace meshca::cli
