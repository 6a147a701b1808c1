#include "ca/json/json_value.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ca/json/json_stream.h"

namespace meshca {
namespace {

// Of the claims of a token: room is made for this many at once.
constexpr size_t kLikelyMembers = 8;
// As many are compared with one another.
constexpr size_t kComparedMembersMax = 12;

// After the first fault whatever is told is left alone.
class TreeBuilder final : public JsonEvents {
 public:
  explicit TreeBuilder(size_t depth_max) : depth_max_(depth_max) { open_.reserve(kLikelyMembers); }

  void OnObjectBegin() override { Open(JsonValue::Kind::kObject); }
  void OnArrayBegin() override { Open(JsonValue::Kind::kArray); }
  void OnObjectEnd() override {
    if (!fault_.empty()) return;
    CheckNames(open_.back()->members);
    open_.pop_back();
  }
  void OnArrayEnd() override {
    if (fault_.empty()) open_.pop_back();
  }
  void OnKey(absl::string_view name) override {
    if (!fault_.empty() || IsTooLong(name)) return;
    if (open_.back()->members.size() >= kMembersMax) return Fail("too many members in one object");
    MakeRoom(open_.back()->members);
    open_.back()->members.emplace_back().name = std::string(name);
  }
  void OnText(absl::string_view text) override {
    if (IsTooLong(text)) return;
    if (JsonValue* const node = Add(JsonValue::Kind::kString); node != nullptr) node->text = std::string(text);
  }
  void OnNumber(absl::string_view text) override {
    JsonValue* const node = Add(JsonValue::Kind::kNumber);
    if (node == nullptr) return;
    if (!absl::SimpleAtod(text, &node->number) || !std::isfinite(node->number)) Fail("a number that is too large");
  }
  void OnInteger(int64_t value) override {
    if (JsonValue* const node = Add(JsonValue::Kind::kNumber); node != nullptr) {
      node->number = static_cast<double>(value);
    }
  }
  void OnBool(bool value) override {
    if (JsonValue* const node = Add(JsonValue::Kind::kBool); node != nullptr) node->boolean = value;
  }
  void OnNull() override { Add(JsonValue::Kind::kNull); }

  const std::string& fault() const { return fault_; }
  bool has_root() const { return has_root_; }
  JsonValue TakeRoot() { return std::move(root_); }

 private:
  static constexpr size_t kMembersMax = 1000;

  // Of the first few objects alone: a stranger's text may be thousands of small ones.
  void MakeRoom(std::vector<JsonMember>& members) {
    if (!members.empty() || rooms_ == 0) return;
    --rooms_;
    members.reserve(open_.size() == 1 ? kLikelyMembers : kLikelyMembers / 2);
  }
  void Fail(std::string fault) {
    if (fault_.empty()) fault_ = std::move(fault);
  }
  // Only its beginning was told.
  bool IsTooLong(absl::string_view text) {
    if (text.size() < JsonStream::kTextBytesMax) return false;
    Fail("a text that is too long");
    return true;
  }
  // Where there are many by sorting: to compare each name with all before it would take a stranger's token 2 ms of a
  // loop. Most objects have few.
  void CheckNames(const std::vector<JsonMember>& members) {
    if (members.size() <= kComparedMembersMax) {
      for (auto later = members.begin(); later != members.end(); ++later) {
        const bool twice =
            std::any_of(members.begin(), later, [&](const auto& each) { return each.name == later->name; });
        if (twice) return FailByName(later->name);
      }
      return;
    }
    std::vector<absl::string_view>& names = names_;
    names.clear();
    for (const JsonMember& member : members) names.push_back(member.name);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) FailByName(*twice);
  }
  void FailByName(absl::string_view twice) {
    Fail(absl::StrCat("the name \"", twice.substr(0, 64), "\" twice in one object"));
  }
  // Null: nothing is built any more.
  JsonValue* Add(JsonValue::Kind kind) {
    if (!fault_.empty()) return nullptr;
    JsonValue* node = &root_;
    if (open_.empty()) {
      if (has_root_) return Fail("something follows the value"), nullptr;
      has_root_ = true;
    } else {
      JsonValue& parent = *open_.back();
      node = parent.is_object() ? &parent.members.back().value : &parent.items.emplace_back();
    }
    node->kind = kind;
    return node;
  }
  bool Open(JsonValue::Kind kind) {
    if (open_.size() >= depth_max_) Fail(absl::StrCat("nested deeper than ", depth_max_, " levels"));
    JsonValue* const node = Add(kind);
    if (node != nullptr) open_.push_back(node);
    return node != nullptr;
  }

  const size_t depth_max_;
  JsonValue root_;
  bool has_root_ = false;
  std::vector<JsonValue*> open_;  // stay in place: only the innermost grows
  std::vector<absl::string_view> names_;
  size_t rooms_ = kLikelyMembers;  // that are still made
  std::string fault_;
};

}  // namespace

const JsonValue* JsonValue::Find(absl::string_view name) const {
  const auto it =
      std::find_if(members.begin(), members.end(), [name](const JsonMember& each) { return each.name == name; });
  return it == members.end() ? nullptr : &it->value;
}

absl::string_view JsonValue::FindText(absl::string_view name) const {
  const JsonValue* value = Find(name);
  return value != nullptr && value->is_text() ? absl::string_view(value->text) : absl::string_view();
}

absl::StatusOr<JsonValue> ParseJson(absl::string_view text, size_t depth_max) {
  TreeBuilder builder(depth_max);
  JsonStream stream(builder);
  absl::Status read = stream.Take(text);
  if (read.ok()) read = stream.End();
  // What the builder found comes first in the text.
  if (!builder.fault().empty()) return absl::InvalidArgumentError(builder.fault());
  if (!read.ok()) return read;
  if (!builder.has_root()) return absl::InvalidArgumentError("not JSON: there is nothing");
  return builder.TakeRoot();
}

}  // namespace meshca
