#include "ca/jwt/json.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace meshca {
namespace {

// Builds JsonValue from nlohmann's events: its own tree would take the last of two members with one name, silently.
class TreeBuilder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit TreeBuilder(size_t depth_max) : depth_max_(depth_max) {}

  bool null() override { return Add() != nullptr; }
  bool boolean(bool value) override {
    JsonValue* node = Add();
    node->kind = JsonValue::Kind::kBool;
    node->boolean = value;
    return true;
  }
  bool number_integer(number_integer_t value) override { return Number(static_cast<double>(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Number(static_cast<double>(value)); }
  bool number_float(number_float_t value, const string_t&) override {
    return std::isfinite(value) ? Number(value) : Fail("a number that is too large");
  }
  bool string(string_t& value) override {
    JsonValue* node = Add();
    node->kind = JsonValue::Kind::kString;
    node->text = std::move(value);
    return true;
  }
  bool binary(binary_t&) override { return Fail("binary data"); }
  bool start_object(std::size_t) override { return Open(JsonValue::Kind::kObject); }
  bool key(string_t& name) override {
    if (open_.back()->members.size() >= kMembersMax) return Fail("too many members in one object");
    open_.back()->members.push_back(JsonMember{std::move(name), JsonValue()});
    return true;
  }
  bool end_object() override { return NamesAreUnique(open_.back()->members) && Close(); }
  bool start_array(std::size_t) override { return Open(JsonValue::Kind::kArray); }
  bool end_array() override { return Close(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return Fail(absl::StrCat("not JSON at byte ", position));
  }

  const std::string& fault() const { return fault_; }
  JsonValue TakeRoot() { return std::move(root_); }

 private:
  static constexpr size_t kMembersMax = 1000;

  // By sorting: to compare each name with all before it would take a stranger's token 2 ms of a loop.
  bool NamesAreUnique(const std::vector<JsonMember>& members) {
    std::vector<absl::string_view> names;
    names.reserve(members.size());
    for (const JsonMember& member : members) names.push_back(member.name);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice == names.end()) return true;
    return Fail(absl::StrCat("the name \"", twice->substr(0, 64), "\" twice in one object"));
  }

  bool Fail(std::string fault) {
    if (fault_.empty()) fault_ = std::move(fault);
    return false;
  }
  JsonValue* Add() {
    if (open_.empty()) return &root_;
    JsonValue& parent = *open_.back();
    return parent.is_object() ? &parent.members.back().value : &parent.items.emplace_back();
  }
  bool Number(double value) {
    JsonValue* node = Add();
    node->kind = JsonValue::Kind::kNumber;
    node->number = value;
    return true;
  }
  bool Open(JsonValue::Kind kind) {
    if (open_.size() >= depth_max_) return Fail(absl::StrCat("nested deeper than ", depth_max_, " levels"));
    JsonValue* node = Add();
    node->kind = kind;
    open_.push_back(node);
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  const size_t depth_max_;
  JsonValue root_;
  std::vector<JsonValue*> open_;  // stay in place: only the innermost grows
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
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    return absl::InvalidArgumentError(builder.fault().empty() ? "not JSON" : builder.fault());
  }
  return builder.TakeRoot();
}

}  // namespace meshca
