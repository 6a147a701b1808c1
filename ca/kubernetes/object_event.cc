#include "ca/kubernetes/object_event.h"

#include "absl/strings/str_cat.h"
#include "ca/base/printable.h"
#include "ca/kubernetes/micro_time.h"

namespace meshca::kubernetes {
namespace {

// What the API server takes at most.
constexpr size_t kNoteBytesMax = 1024;
constexpr size_t kReporterBytesMax = 128;
constexpr char kReportingController[] = "meshca.io/meshca";
// A change of some fields of an object (RFC 7386).
constexpr char kMergePatch[] = "application/merge-patch+json";

Resource Events() { return {"events.k8s.io", "v1", "events"}; }

std::string NamespaceOf(const ObjectEvent& event) {
  return event.regarding.namespace_name.empty() ? "default" : event.regarding.namespace_name;
}

// The first `bytes_max` bytes, without part of a character at the end.
absl::string_view CutTo(absl::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

std::string Json(const ObjectReference& object) {
  return absl::StrCat(R"({"apiVersion":)", JsonString(object.api_version), R"(,"kind":)", JsonString(object.kind),
                      R"(,"namespace":)", JsonString(object.namespace_name), R"(,"name":)", JsonString(object.name),
                      R"(,"uid":)", JsonString(object.uid), "}");
}

}  // namespace

ApiCall CallToCreateEvent(const ObjectEvent& event, absl::string_view name, absl::string_view reporter, absl::Time at) {
  const std::string note = Printable(event.note);
  return CallToCreate(
      Events(), NamespaceOf(event),
      absl::StrCat(R"({"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":)", JsonString(name),
                   R"(,"namespace":)", JsonString(NamespaceOf(event)), R"(},"eventTime":")", MicroTimeText(at),
                   R"(","reportingController":")", kReportingController, R"(","reportingInstance":)",
                   JsonString(CutTo(reporter, kReporterBytesMax)), R"(,"type":")",
                   event.is_warning ? "Warning" : "Normal", R"(","reason":)", JsonString(event.reason), R"(,"action":)",
                   JsonString(event.action), R"(,"regarding":)", Json(event.regarding), R"(,"note":)",
                   JsonString(CutTo(note, kNoteBytesMax)), "}"));
}

ApiCall CallToRepeatEvent(const ObjectEvent& event, absl::string_view name, uint64_t count, absl::Time last) {
  ApiCall call = CallToGet(Events(), NamespaceOf(event), name);
  call.verb = "patch";
  call.content_type = kMergePatch;
  call.body = absl::StrCat(R"({"series":{"count":)", count, R"(,"lastObservedTime":")", MicroTimeText(last), R"("}})");
  return call;
}

}  // namespace meshca::kubernetes
