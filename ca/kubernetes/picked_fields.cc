#include "ca/kubernetes/picked_fields.h"

#include <map>

#include "absl/strings/strip.h"
#include "ca/base/status.h"

namespace meshca::kubernetes {
namespace {
// The names that a path is made of.
std::vector<std::string> NamesOf(absl::string_view path) {
  std::vector<std::string> names(1);
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\' && i + 1 < path.size()) {
      names.back().push_back(path[++i]);
    } else if (path[i] == '.') {
      names.emplace_back();
    } else {
      names.back().push_back(path[i]);
    }
  }
  return names;
}

}  // namespace

// A value that leads to a field, or is one. "*" is any member, "[]" any element.
struct FieldPicker::Node {
  std::vector<size_t> fields;  // of one path that was named more than once: each has its text
  bool is_array = false;
  bool is_any_member = false;  // its texts keep the names under which they stand
  std::map<std::string, std::unique_ptr<Node>, std::less<>> below;

  const Node* Find(absl::string_view name) const {
    auto found = below.find(name);
    if (found == below.end()) found = below.find(absl::string_view("*"));
    return found == below.end() ? nullptr : found->second.get();
  }
  Node& Below(absl::string_view name) {
    std::unique_ptr<Node>& node = below[std::string(name)];
    if (node == nullptr) node = std::make_unique<Node>();
    return *node;
  }
};

FieldPicker::FieldPicker(const std::vector<std::string>& paths) : fields_(paths.size()), picked_(paths.size()) {
  auto root = std::make_unique<Node>();
  for (size_t i = 0; i < paths.size(); ++i) {
    Node* node = root.get();
    for (const std::string& name : NamesOf(paths[i])) {
      absl::string_view part = name;
      const bool each = absl::ConsumeSuffix(&part, "[]");
      node = &node->Below(part);
      node->is_any_member = part == "*";
      if (!each) continue;
      node->is_array = true;
      node = &node->Below("[]");
    }
    node->fields.push_back(i);
  }
  root_ = std::move(root);
}

FieldPicker::~FieldPicker() = default;

PickedFields FieldPicker::Take() {
  open_.clear();
  member_ = nullptr;
  picked_bytes_ = 0;
  return std::exchange(picked_, PickedFields(fields_));
}

const FieldPicker::Node* FieldPicker::Entered() const {
  if (open_.empty()) return root_.get();
  const Node* const around = open_.back();
  if (around == nullptr) return nullptr;
  return around->is_array ? around->Find("[]") : member_;
}

void FieldPicker::OnObjectBegin() {
  const Node* const node = Entered();
  // An object where an array was expected has nothing of what is wanted.
  open_.push_back(node != nullptr && node->is_array ? nullptr : node);
  member_ = nullptr;
}
void FieldPicker::OnObjectEnd() {
  if (!open_.empty()) open_.pop_back();
  member_ = nullptr;
}
void FieldPicker::OnArrayBegin() {
  const Node* const node = Entered();
  open_.push_back(node != nullptr && node->is_array ? node : nullptr);
  member_name_.clear();
}
void FieldPicker::OnArrayEnd() { OnObjectEnd(); }

void FieldPicker::OnKey(absl::string_view name) {
  member_ = open_.empty() || open_.back() == nullptr ? nullptr : open_.back()->Find(name);
  if (member_ != nullptr) member_name_.assign(name.data(), name.size());
}

void FieldPicker::OnText(absl::string_view text) { Keep(text); }
void FieldPicker::OnNumber(absl::string_view text) { Keep(text); }
void FieldPicker::OnBool(bool value) { Keep(value ? "true" : "false"); }
void FieldPicker::OnNull() {}

void FieldPicker::Keep(absl::string_view text) {
  const Node* const node = Entered();
  if (node == nullptr || open_.empty()) return;
  const absl::string_view name = node->is_any_member ? absl::string_view(member_name_) : absl::string_view();
  const size_t bytes = text.size() + name.size();
  for (const size_t index : node->fields) {
    if (picked_.All(index).size() >= kOfOnePathMax || bytes > kOfOneObjectBytesMax - picked_bytes_) return;
    picked_bytes_ += bytes;
    picked_.Add(index, name, std::string(text));
  }
}

namespace {

// Passes the first object on, and notes what came.
class WholeObject final : public JsonEvents {
 public:
  explicit WholeObject(FieldPicker& picker) : picker_(picker) {}
  bool is_one_object() const { return objects_ == 1 && others_ == 0; }

  void OnObjectBegin() override { Begin(objects_), picker_.OnObjectBegin(); }
  void OnObjectEnd() override { --depth_, picker_.OnObjectEnd(); }
  void OnArrayBegin() override { Begin(others_), picker_.OnArrayBegin(); }
  void OnArrayEnd() override { --depth_, picker_.OnArrayEnd(); }
  void OnKey(absl::string_view name) override { picker_.OnKey(name); }
  void OnText(absl::string_view text) override { picker_.OnText(text); }
  void OnNumber(absl::string_view text) override { picker_.OnNumber(text); }
  void OnBool(bool value) override { picker_.OnBool(value); }
  void OnNull() override { picker_.OnNull(); }

 private:
  void Begin(int& of_this_kind) {
    if (depth_++ == 0) ++of_this_kind;
  }

  FieldPicker& picker_;
  int depth_ = 0;
  int objects_ = 0;  // at the top
  int others_ = 0;
};

}  // namespace

class ObjectPicker::Parts {
 public:
  explicit Parts(const std::vector<std::string>& paths) : picker(paths), object(picker), stream(object) {}

  FieldPicker picker;
  WholeObject object;
  JsonStream stream;
};

ObjectPicker::ObjectPicker(const std::vector<std::string>& paths) : parts_(std::make_unique<Parts>(paths)) {}
ObjectPicker::~ObjectPicker() = default;

absl::Status ObjectPicker::Take(absl::string_view piece) { return parts_->stream.Take(piece); }

absl::StatusOr<PickedFields> ObjectPicker::End() {
  MESHCA_RETURN_IF_ERROR(parts_->stream.End());
  if (!parts_->object.is_one_object()) return absl::InvalidArgumentError("is not one JSON object");
  return parts_->picker.Take();
}

absl::StatusOr<PickedFields> PickFields(absl::string_view json, const std::vector<std::string>& paths) {
  ObjectPicker picker(paths);
  MESHCA_RETURN_IF_ERROR(picker.Take(json));
  return picker.End();
}

}  // namespace meshca::kubernetes
