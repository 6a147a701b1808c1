// The answers of `list` and `watch`, object by object.
#ifndef MESHCA_CA_KUBERNETES_OBJECT_READER_H_
#define MESHCA_CA_KUBERNETES_OBJECT_READER_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ca/json/json_stream.h"
#include "ca/kubernetes/picked_fields.h"

namespace meshca::kubernetes {

// Reads one page of a list: {"metadata": {...}, "items": [...]}. Holds one object's fields at a time. One thread at a
// time.
class ListReader final : public JsonEvents {
 public:
  // `on_object` is told of each element of `items`, with the fields at `paths`.
  ListReader(const std::vector<std::string>& paths, std::function<void(PickedFields)> on_object);

  absl::Status Take(absl::string_view piece) { return stream_.Take(piece); }
  // InvalidArgument: it ended too early, or was no list.
  absl::Status End();

  // Of the list, after End: where a watch goes on, and what asks for the next page ("": this was the last).
  const std::string& resource_version() const { return resource_version_; }
  const std::string& next_page() const { return next_page_; }

  void OnObjectBegin() override;
  void OnObjectEnd() override;
  void OnArrayBegin() override;
  void OnArrayEnd() override;
  void OnKey(absl::string_view name) override;
  void OnText(absl::string_view text) override;
  void OnNumber(absl::string_view text) override;
  void OnBool(bool value) override;
  void OnNull() override;

 private:
  bool InItem() const { return in_items_ && depth_ > kItemDepth; }

  // The list is at depth 1, `items` at 2, an element at 3.
  static constexpr int kItemDepth = 2;
  FieldPicker picker_;
  const std::function<void(PickedFields)> on_object_;
  JsonStream stream_;
  int depth_ = 0;
  bool in_items_ = false;
  bool in_metadata_ = false;
  bool saw_items_ = false;
  std::string key_;  // the member of the list, or of its metadata, that was named last
  std::string resource_version_;
  std::string next_page_;
};

// What a watch says of one object.
struct WatchEvent {
  enum class Kind { kAdded, kModified, kDeleted, kBookmark, kError };
  Kind kind = Kind::kAdded;
  PickedFields object;
  std::string resource_version;
  // kError: the status that the API server ends the watch with.
  int code = 0;
  std::string message;
};

// Reads a watch: {"type": "ADDED", "object": {...}}, one after another. One thread at a time.
class WatchReader final : public JsonEvents {
 public:
  WatchReader(const std::vector<std::string>& paths, std::function<void(WatchEvent)> on_event);

  // InvalidArgument: no JSON, or an event without an object or of a kind that the API does not have; nothing is told
  // of what follows. An event that is cut off by the watch's end is not told, and no error.
  absl::Status Take(absl::string_view piece);

  void OnObjectBegin() override;
  void OnObjectEnd() override;
  void OnArrayBegin() override;
  void OnArrayEnd() override;
  void OnKey(absl::string_view name) override;
  void OnText(absl::string_view text) override;
  void OnNumber(absl::string_view text) override;
  void OnBool(bool value) override;
  void OnNull() override;

 private:
  void Emit();

  const size_t fields_;  // of the caller's paths; those of the reader itself follow
  FieldPicker picker_;
  const std::function<void(WatchEvent)> on_event_;
  JsonStream stream_;
  int depth_ = 0;
  bool in_object_ = false;
  bool saw_object_ = false;  // of the event that is being read
  std::string key_;
  std::string type_;
  absl::Status broken_;
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_OBJECT_READER_H_
