// Links: ca_kubernetes
// The readers of what an API server answers, a list, a watch and one object: take any bytes, in pieces that end
// anywhere (the first byte says how long they are), and say the same of them as of the whole; what they keep is
// bounded.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ca/base/check.h"
#include "ca/kubernetes/api_refusal.h"
#include "ca/kubernetes/object_reader.h"
#include "ca/kubernetes/picked_fields.h"
#include "ca/kubernetes/token_review.h"

namespace {

using meshca::kubernetes::FieldPicker;
using meshca::kubernetes::PickedFields;

const std::vector<std::string>& Paths() {
  static const auto* const paths =
      new std::vector<std::string>{"metadata.name", "metadata.labels.*", "spec.nodeName", "status.conditions[].type",
                                   R"(metadata.annotations.a\.b/c)"};
  return *paths;
}

// All that was told of an object, as one text.
std::string TextOf(const PickedFields& object) {
  std::string text;
  size_t bytes = 0;
  for (size_t i = 0; i < Paths().size(); ++i) {
    MESHCA_CHECK(object.All(i).size() <= FieldPicker::kOfOnePathMax);
    for (const auto& [name, value] : object.All(i)) {
      absl::StrAppend(&text, i, "[", name.size(), "]", name, "=[", value.size(), "]", value, ";");
      bytes += name.size() + value.size();
    }
  }
  MESHCA_CHECK(bytes <= FieldPicker::kOfOneObjectBytesMax);
  return text + "\n";
}

template <typename Reader>
absl::StatusCode Read(Reader& reader, absl::string_view bytes, size_t piece) {
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    if (const absl::Status taken = reader.Take(bytes.substr(0, piece)); !taken.ok()) return taken.code();
  }
  return absl::StatusCode::kOk;
}

std::string ReadList(absl::string_view bytes, size_t piece) {
  std::string told;
  meshca::kubernetes::ListReader reader(Paths(), [&told](const PickedFields& object) { told += TextOf(object); });
  const absl::StatusCode code = Read(reader, bytes, piece);
  const bool ended = code == absl::StatusCode::kOk && reader.End().ok();
  if (ended) MESHCA_CHECK(!reader.resource_version().empty());
  absl::StrAppend(&told, static_cast<int>(code), ended, reader.resource_version(), "|", reader.next_page());
  return told;
}

std::string ReadWatch(absl::string_view bytes, size_t piece) {
  std::string told;
  meshca::kubernetes::WatchReader reader(Paths(), [&told](const meshca::kubernetes::WatchEvent& event) {
    absl::StrAppend(&told, static_cast<int>(event.kind), " ", event.resource_version, " ", event.code, " ",
                    event.message, " ", TextOf(event.object));
  });
  absl::StrAppend(&told, static_cast<int>(Read(reader, bytes, piece)));
  return told;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t whole = std::max<size_t>(bytes.size(), 1);
  const size_t piece = data[0] % 32 + 1;
  MESHCA_CHECK(ReadList(bytes, whole) == ReadList(bytes, piece));
  MESHCA_CHECK(ReadWatch(bytes, whole) == ReadWatch(bytes, piece));

  const auto one = meshca::kubernetes::PickFields(bytes, Paths());
  if (one.ok()) TextOf(*one);
  MESHCA_CHECK(one.ok() || one.status().code() == absl::StatusCode::kInvalidArgument);
  (void)meshca::kubernetes::ReadTokenReview(bytes).ok();

  // A refusal is a short line, whatever it is made of.
  const absl::Status refused =
      meshca::kubernetes::RefusalStatus(meshca::kubernetes::CallToGet(meshca::kubernetes::Pods(), "a", "b"),
                                        {403, {{"Retry-After", std::string(bytes)}}, ""}, bytes);
  MESHCA_CHECK(!refused.ok() && meshca::kubernetes::RefusalOf(refused).has_value());
  MESHCA_CHECK(refused.message().find('\n') == absl::string_view::npos);
  return 0;
}
