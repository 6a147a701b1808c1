#include "cli/config/yaml_tree.h"

#include <exception>
#include <istream>
#include <streambuf>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "absl/strings/str_cat.h"
#include "ca/base/printable.h"
#include "cli/config/loader.h"

namespace meshca::config {
namespace {

Place PlaceOf(const YAML::Mark& mark) {
  return mark.is_null() ? Place() : Place{.line = mark.line + 1, .column = mark.column + 1};
}

// Builds the tree from events rather than taking YAML::Node, which resolves aliases unasked and has lost where things
// stood by the time one looks.
class TreeBuilder final : public YAML::EventHandler {
 public:
  using OnItem = absl::FunctionRef<bool(const YamlNode& item, size_t index)>;

  explicit TreeBuilder(Faults& faults) : faults_(faults) {}
  // The items of the list under `key` go to `on_item`, which outlives the builder, instead of into the tree.
  TreeBuilder(Faults& faults, absl::string_view key, const OnItem* on_item)
      : faults_(faults), key_(key), on_item_(on_item) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 2) Stop(PlaceOf(mark), "a second document begins here; one file holds one configuration");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(YamlNode::Kind::kNull, mark, "", anchor);
    GiveItem();
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Stop(PlaceOf(mark), "an alias (*name); write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode* node = Add(YamlNode::Kind::kScalar, mark, tag, anchor);
    if (node == nullptr) return;
    node->text = value;
    node->quoted = tag == "!";
    GiveItem();
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(YamlNode::Kind::kList, mark, tag, anchor);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(YamlNode::Kind::kMapping, mark, tag, anchor);
  }
  void OnMapEnd() override { Close(); }

  bool stopped() const { return stopped_; }
  YamlNode TakeRoot() { return std::move(root_); }

 private:
  // One fault of this kind is enough, and what follows it cannot be trusted.
  void Stop(Place place, absl::string_view sentence) {
    if (!stopped_) faults_.Add(place, "", sentence);
    stopped_ = true;
  }

  YamlNode* Add(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (stopped_) return nullptr;
    const Place place = PlaceOf(mark);
    if (anchor != 0) {
      Stop(place, "an anchor (&name); write the value out where it is needed");
    } else if (!tag.empty() && tag != "?" && tag != "!") {
      Stop(place, "a tag (!name); the key alone says what type the value has");
    } else if (++nodes_ > kNodesMax) {
      Stop(place, absl::StrCat("more than ", kNodesMax, " values"));
    } else if (open_.size() >= kNestingMax) {
      Stop(place, absl::StrCat("nested deeper than ", kNestingMax, " levels"));
    }
    if (stopped_) return nullptr;
    YamlNode* node = &root_;
    if (!open_.empty()) node = &open_.back()->children.emplace_back();
    node->kind = kind;
    node->place = place;
    return node;
  }
  // The nodes of open_ stay where they are: only the innermost one's children grow.
  void Open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    YamlNode* node = Add(kind, mark, tag, anchor);
    if (node == nullptr) return;
    const bool in_root = open_.size() == 1 && open_[0]->children.size() % 2 == 0;  // the value of a key
    if (on_item_ != nullptr && kind == YamlNode::Kind::kList && in_root) {
      if (open_[0]->children[open_[0]->children.size() - 2].text == key_) list_ = node;
    }
    open_.push_back(node);
  }
  void Close() {
    if (stopped_) return;
    if (open_.back() == list_) list_ = nullptr;  // the root's next child may move it
    open_.pop_back();
    GiveItem();
  }
  // A node is whole. Where it is an item of the list, it is given away.
  void GiveItem() {
    if (stopped_ || list_ == nullptr || open_.size() != 2 || open_[1] != list_) return;
    if (!(*on_item_)(list_->children.back(), items_++)) stopped_ = true;
    list_->children.clear();
    nodes_ = 0;
  }

  Faults& faults_;
  const absl::string_view key_;
  const OnItem* const on_item_ = nullptr;
  YamlNode* list_ = nullptr;  // whose items are given away
  size_t items_ = 0;
  YamlNode root_;
  std::vector<YamlNode*> open_;
  int documents_ = 0;
  size_t nodes_ = 0;
  bool stopped_ = false;
};

// An istream over bytes that are not copied.
class ViewBuffer final : public std::streambuf {
 public:
  explicit ViewBuffer(absl::string_view text) {
    char* begin = const_cast<char*>(text.data());  // streambuf's get area is never written through
    setg(begin, begin, begin + text.size());
  }
};

// Where the first byte stands that is no UTF-8, no text (a NUL) or begins another encoding; line 0: nowhere. yaml-cpp
// would replace such bytes or read the file as UTF-16.
Place FirstBadByte(absl::string_view text) {
  Place place{.line = 1, .column = 1};
  while (!text.empty()) {
    const CodePoint first = FirstCodePoint(text);
    if (!first.valid || first.value == 0) return place;
    if (first.value == '\n') {
      place = {.line = place.line + 1, .column = 1};
    } else {
      ++place.column;
    }
    text.remove_prefix(first.bytes);
  }
  return Place();
}

}  // namespace

absl::string_view KindText(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull: return "nothing";
    case YamlNode::Kind::kScalar: return "text";
    case YamlNode::Kind::kList: return "a list";
    case YamlNode::Kind::kMapping: return "a mapping";
  }
  return "";
}

namespace {

YamlNode Build(absl::string_view text, TreeBuilder& builder, Faults& faults) {
  if (Place bad = FirstBadByte(text); bad.line != 0) {
    faults.Add(bad, "", "a byte that is no UTF-8 text");
    return {};
  }
  try {
    ViewBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    while (!builder.stopped() && parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& fault) {
    if (!builder.stopped()) faults.Add(PlaceOf(fault.mark), "", absl::StrCat("YAML: ", fault.msg));
  } catch (const std::exception& fault) {
    // yaml-cpp leaks a few of the standard library's for broken escapes and numbers.
    faults.Add({}, "", absl::StrCat("YAML: ", fault.what()));
  }
  return builder.TakeRoot();
}

}  // namespace

YamlNode ParseYaml(absl::string_view text, Faults& faults) {
  if (text.size() > kFileBytesMax) {
    faults.Add({}, "", absl::StrCat("the file has ", text.size(), " bytes; the most is ", kFileBytesMax));
    return {};
  }
  TreeBuilder builder(faults);
  return Build(text, builder, faults);
}

YamlNode ParseYamlList(absl::string_view text, absl::string_view key,
                       absl::FunctionRef<bool(const YamlNode& item, size_t index)> on_item, Faults& faults) {
  TreeBuilder builder(faults, key, &on_item);
  return Build(text, builder, faults);
}

}  // namespace meshca::config
