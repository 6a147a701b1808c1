#include "ca/kubernetes/picked_fields.h"

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace meshca::kubernetes {
namespace {
constexpr int kNoField = -1;
}  // namespace

// A value that leads to a field, or is one. "*" is any member, "[]" any element.
struct FieldPicker::Node {
  int field = kNoField;
  bool is_array = false;
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
    for (absl::string_view part : absl::StrSplit(paths[i], '.')) {
      const bool each = absl::ConsumeSuffix(&part, "[]");
      node = &node->Below(part);
      if (!each) continue;
      node->is_array = true;
      node = &node->Below("[]");
    }
    node->field = static_cast<int>(i);
  }
  root_ = std::move(root);
}

FieldPicker::~FieldPicker() = default;

PickedFields FieldPicker::Take() {
  open_.clear();
  member_ = nullptr;
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
void FieldPicker::OnNumber(double value) { Keep(absl::StrCat(value)); }
void FieldPicker::OnBool(bool value) { Keep(value ? "true" : "false"); }
void FieldPicker::OnNull() { Keep(""); }

void FieldPicker::Keep(absl::string_view text) {
  const Node* const node = Entered();
  if (node == nullptr || node->field == kNoField || open_.empty()) return;
  const auto index = static_cast<size_t>(node->field);
  if (text.empty() || picked_.All(index).size() >= kOfOnePathMax) return;
  picked_.Add(index, open_.back()->is_array ? absl::string_view() : absl::string_view(member_name_), std::string(text));
}

}  // namespace meshca::kubernetes
