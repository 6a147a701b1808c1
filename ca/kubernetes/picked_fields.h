// The few fields of an object that somebody wants, picked out of its JSON as it passes by.
#ifndef MESHCA_CA_KUBERNETES_PICKED_FIELDS_H_
#define MESHCA_CA_KUBERNETES_PICKED_FIELDS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ca/json/json_stream.h"

namespace meshca::kubernetes {

// What was found of one object. A value.
class PickedFields {
 public:
  explicit PickedFields(size_t fields = 0) : found_(fields) {}

  // The first text of field `index` (FieldPicker's `paths`); "": the object has none, or null, or no plain value there.
  // Numbers and booleans are texts too.
  absl::string_view Text(size_t index) const {
    return found_[index].empty() ? absl::string_view() : found_[index].front().second;
  }
  // All texts of field `index`, in the order of the object. Of a path that ends in "*": each member's name and text,
  // which may be empty. Of others the names are empty.
  const std::vector<std::pair<std::string, std::string>>& All(size_t index) const { return found_[index]; }

  void Add(size_t index, absl::string_view name, std::string text) {
    found_[index].emplace_back(std::string(name), std::move(text));
  }

 private:
  std::vector<std::vector<std::pair<std::string, std::string>>> found_;
};

// Takes the events of one object, from its OnObjectBegin to its OnObjectEnd.
class FieldPicker final : public JsonEvents {
 public:
  // How many texts of a path with "*" or "[]" are kept of one object. What is beyond the limits is left out.
  static constexpr size_t kOfOnePathMax = 1024;

  // And how many bytes of texts are kept of one object: more than the API server stores of any.
  static constexpr size_t kOfOneObjectBytesMax = 4 * 1024 * 1024;

  // "metadata.name", "metadata.labels.*" (each member), "status.conditions[].type" (of each element). A dot that
  // belongs to a name is written `\.`: "metadata.annotations.istio\.io/rev".
  explicit FieldPicker(const std::vector<std::string>& paths);
  ~FieldPicker() override;

  // Of the object that has passed; begins anew.
  PickedFields Take();

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
  struct Node;
  // The node of the value that begins now; null: nobody wants it.
  const Node* Entered() const;
  void Keep(absl::string_view text);

  const size_t fields_;
  std::unique_ptr<const Node> root_;
  std::vector<const Node*> open_;  // of the objects and arrays around, outermost first; null: nobody wants it
  const Node* member_ = nullptr;   // of the member that was named last
  std::string member_name_;
  PickedFields picked_;
  size_t picked_bytes_ = 0;
};

// The same of the one object that an answer is, as it comes. However long that is, no more than the fields is held. One
// thread at a time.
class ObjectPicker {
 public:
  explicit ObjectPicker(const std::vector<std::string>& paths);
  ~ObjectPicker();

  // InvalidArgument: it is no JSON.
  absl::Status Take(absl::string_view piece);
  // InvalidArgument: it was no object, or not one alone.
  absl::StatusOr<PickedFields> End();

 private:
  class Parts;
  const std::unique_ptr<Parts> parts_;
};

// The fields at `paths` of the one object that `json` is. InvalidArgument: it is none.
absl::StatusOr<PickedFields> PickFields(absl::string_view json, const std::vector<std::string>& paths);

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_PICKED_FIELDS_H_
