#include "ca/json/json_stream.h"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace meshca {
namespace {

namespace json = boost::json;

// Boost.JSON's events as ours: its texts come in parts where they do not stand in one piece.
class Adapter {
 public:
  // NOLINTBEGIN(readability-identifier-naming): names that Boost asks for.
  static constexpr size_t max_object_size = size_t(-1);
  static constexpr size_t max_array_size = size_t(-1);
  static constexpr size_t max_key_size = size_t(-1);
  static constexpr size_t max_string_size = size_t(-1);
  // NOLINTEND(readability-identifier-naming)

  explicit Adapter(JsonEvents& events) : events_(events) {}

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) { return events_.OnObjectBegin(), true; }
  bool on_object_end(size_t, json::error_code&) { return events_.OnObjectEnd(), true; }
  bool on_array_begin(json::error_code&) { return events_.OnArrayBegin(), true; }
  bool on_array_end(size_t, json::error_code&) { return events_.OnArrayEnd(), true; }
  bool on_key_part(json::string_view part, size_t, json::error_code&) { return Keep(part), true; }
  bool on_key(json::string_view part, size_t, json::error_code&) {
    events_.OnKey(Whole(part));
    return parts_.clear(), true;
  }
  bool on_string_part(json::string_view part, size_t, json::error_code&) { return Keep(part), true; }
  bool on_string(json::string_view part, size_t, json::error_code&) {
    events_.OnText(Whole(part));
    return parts_.clear(), true;
  }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(int64_t value, json::string_view, json::error_code&) { return events_.OnInteger(value), true; }
  bool on_uint64(uint64_t value, json::string_view, json::error_code&) { return Number(absl::StrCat(value)); }
  bool on_double(double value, json::string_view, json::error_code&) { return Number(absl::StrFormat("%.17g", value)); }
  bool on_bool(bool value, json::error_code&) { return events_.OnBool(value), true; }
  bool on_null(json::error_code&) { return events_.OnNull(), true; }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }

 private:
  bool Number(const std::string& text) { return events_.OnNumber(text), true; }
  void Keep(json::string_view part) {
    const size_t room = JsonStream::kTextBytesMax - parts_.size();
    parts_.append(part.data(), std::min(part.size(), room));
  }
  absl::string_view Whole(json::string_view last) {
    if (parts_.empty()) return {last.data(), std::min(last.size(), JsonStream::kTextBytesMax)};
    Keep(last);
    return parts_;
  }

  JsonEvents& events_;
  std::string parts_;  // of the key or text that is being read
};

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

void JsonEvents::OnInteger(int64_t value) { OnNumber(absl::StrCat(value)); }

class JsonStream::Impl {
 public:
  explicit Impl(JsonEvents& events) : parser_(Options(), events) {}

  absl::Status Take(absl::string_view piece) {
    if (broken_) return absl::InvalidArgumentError("no JSON follows what was none");
    while (!piece.empty()) {
      if (!within_) {
        if (IsBlank(piece.front())) {
          piece.remove_prefix(1);
          ++taken_;
          continue;
        }
        parser_.reset();
        within_ = true;
      }
      json::error_code error;
      const size_t read = parser_.write_some(/*more=*/true, piece.data(), piece.size(), error);
      if (error) return Refuse(absl::StrCat("at byte ", taken_ + read + 1, ": ", error.message()));
      piece.remove_prefix(read);
      taken_ += read;
      within_ = !parser_.done();
      // A whole value takes no more: the next one has to begin anew.
      if (within_ && !piece.empty()) return Refuse(absl::StrCat("at byte ", taken_ + 1, ": it belongs to no value"));
    }
    return absl::OkStatus();
  }

  absl::Status End() {
    if (broken_) return absl::InvalidArgumentError("it was no JSON");
    json::error_code error;
    if (within_) parser_.write_some(/*more=*/false, "", 0, error);
    if (error) return Refuse("at its end: it stops in the middle of a value");
    within_ = false;
    return absl::OkStatus();
  }

 private:
  static json::parse_options Options() {
    json::parse_options options;
    options.max_depth = kDepthMax;
    return options;
  }
  absl::Status Refuse(absl::string_view why) {
    broken_ = true;
    return absl::InvalidArgumentError(absl::StrCat("not JSON ", why));
  }

  json::basic_parser<Adapter> parser_;
  size_t taken_ = 0;  // bytes
  bool within_ = false;
  bool broken_ = false;
};

JsonStream::JsonStream(JsonEvents& events) : impl_(std::make_unique<Impl>(events)) {}
JsonStream::~JsonStream() = default;
absl::Status JsonStream::Take(absl::string_view piece) { return impl_->Take(piece); }
absl::Status JsonStream::End() { return impl_->End(); }

}  // namespace meshca
