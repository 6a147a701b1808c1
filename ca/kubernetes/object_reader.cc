#include "ca/kubernetes/object_reader.h"

#include <map>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"

namespace meshca::kubernetes {
namespace {

// Of a watch's object, beside what the caller wants: where the watch stands, and what an error says of itself.
const std::vector<std::string>& OwnPaths() {
  static const auto* const paths = new std::vector<std::string>{"metadata.resourceVersion", "code", "message"};
  return *paths;
}

std::vector<std::string> WithOwn(std::vector<std::string> paths) {
  paths.insert(paths.end(), OwnPaths().begin(), OwnPaths().end());
  return paths;
}

std::optional<WatchEvent::Kind> KindOf(absl::string_view type) {
  static const auto* const kinds = new std::map<absl::string_view, WatchEvent::Kind>{
      {"ADDED", WatchEvent::Kind::kAdded},     {"MODIFIED", WatchEvent::Kind::kModified},
      {"DELETED", WatchEvent::Kind::kDeleted}, {"BOOKMARK", WatchEvent::Kind::kBookmark},
      {"ERROR", WatchEvent::Kind::kError},
  };
  const auto found = kinds->find(type);
  if (found == kinds->end()) return std::nullopt;
  return found->second;
}

}  // namespace

ListReader::ListReader(const std::vector<std::string>& paths, std::function<void(PickedFields)> on_object)
    : picker_(paths), on_object_(std::move(on_object)), stream_(*this) {}

absl::Status ListReader::End() {
  MESHCA_RETURN_IF_ERROR(stream_.End());
  if (!saw_items_ || resource_version_.empty()) {
    return absl::InvalidArgumentError("the API server's answer is no list of objects");
  }
  return absl::OkStatus();
}

void ListReader::OnObjectBegin() {
  ++depth_;
  if (InItem()) return picker_.OnObjectBegin();
  if (depth_ == 2) in_metadata_ = key_ == "metadata";
}

void ListReader::OnObjectEnd() {
  if (InItem()) {
    picker_.OnObjectEnd();
    if (depth_ == kItemDepth + 1) on_object_(picker_.Take());
  } else if (depth_ == 2) {
    in_metadata_ = false;
  }
  --depth_;
}

void ListReader::OnArrayBegin() {
  ++depth_;
  if (InItem()) return picker_.OnArrayBegin();
  if (depth_ == kItemDepth && key_ == "items") in_items_ = saw_items_ = true;
}

void ListReader::OnArrayEnd() {
  if (InItem()) {
    picker_.OnArrayEnd();
  } else if (depth_ == kItemDepth) {
    in_items_ = false;
  }
  --depth_;
}

void ListReader::OnKey(absl::string_view name) {
  if (InItem()) return picker_.OnKey(name);
  key_.assign(name.data(), name.size());
}

void ListReader::OnText(absl::string_view text) {
  if (InItem()) return picker_.OnText(text);
  if (!in_metadata_ || depth_ != 2) return;
  if (key_ == "resourceVersion") resource_version_.assign(text.data(), text.size());
  if (key_ == "continue") next_page_.assign(text.data(), text.size());
}

void ListReader::OnNumber(absl::string_view text) {
  if (InItem()) picker_.OnNumber(text);
}
void ListReader::OnBool(bool value) {
  if (InItem()) picker_.OnBool(value);
}
void ListReader::OnNull() {
  if (InItem()) return picker_.OnNull();
  // Go writes a list without elements so.
  if (depth_ == 1 && key_ == "items") saw_items_ = true;
}

WatchReader::WatchReader(const std::vector<std::string>& paths, std::function<void(WatchEvent)> on_event)
    : fields_(paths.size()), picker_(WithOwn(paths)), on_event_(std::move(on_event)), stream_(*this) {}

absl::Status WatchReader::Take(absl::string_view piece) {
  MESHCA_RETURN_IF_ERROR(broken_);
  MESHCA_RETURN_IF_ERROR(stream_.Take(piece));
  return broken_;
}

void WatchReader::Emit() {
  const std::optional<WatchEvent::Kind> kind = KindOf(type_);
  if (!kind.has_value() || !saw_object_) {
    broken_ = absl::InvalidArgumentError(kind.has_value() ? absl::StrCat("a watch's event without an object: ", type_)
                                                          : absl::StrCat("a watch's event of the unknown kind \"",
                                                                         Printable(type_.substr(0, 40)), "\""));
    return;
  }
  WatchEvent event;
  event.kind = *kind;
  event.object = picker_.Take();
  event.resource_version = std::string(event.object.Text(fields_));
  if (!absl::SimpleAtoi(event.object.Text(fields_ + 1), &event.code)) event.code = 0;
  event.message = std::string(event.object.Text(fields_ + 2));
  type_.clear();
  saw_object_ = false;
  on_event_(std::move(event));
}

void WatchReader::OnObjectBegin() {
  ++depth_;
  if (depth_ == 2 && key_ == "object") in_object_ = saw_object_ = true;
  if (in_object_) picker_.OnObjectBegin();
}

void WatchReader::OnObjectEnd() {
  if (in_object_) picker_.OnObjectEnd();
  if (depth_ == 2) in_object_ = false;
  if (--depth_ == 0 && broken_.ok()) Emit();
}

void WatchReader::OnArrayBegin() {
  ++depth_;
  if (in_object_) picker_.OnArrayBegin();
}

void WatchReader::OnArrayEnd() {
  if (in_object_) picker_.OnArrayEnd();
  --depth_;
}

void WatchReader::OnKey(absl::string_view name) {
  if (in_object_) return picker_.OnKey(name);
  key_.assign(name.data(), name.size());
}

void WatchReader::OnText(absl::string_view text) {
  if (in_object_) return picker_.OnText(text);
  if (depth_ == 1 && key_ == "type") type_.assign(text.data(), text.size());
}

void WatchReader::OnNumber(absl::string_view text) {
  if (in_object_) picker_.OnNumber(text);
}
void WatchReader::OnBool(bool value) {
  if (in_object_) picker_.OnBool(value);
}
void WatchReader::OnNull() {
  if (in_object_) picker_.OnNull();
}

}  // namespace meshca::kubernetes
