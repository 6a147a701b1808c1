// Any bytes as what a node's agent says to its CA: a hello and a report within their bounds, or a refusal.
// Links: ca_service proto_messages
#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "ca/base/check.h"
#include "ca/base/printable.h"
#include "ca/service/agent_message.h"
#include "meshca/agent/v1/agent.pb.h"

namespace {

namespace v1 = meshca::agent::v1;

bool IsShown(const std::string& text) { return meshca::Printable(text) == text; }

void CheckReport(const v1::Held& held) {
  const auto report = meshca::ReadHeld(held);
  if (!report.ok()) {
    MESHCA_CHECK(report.status().code() == absl::StatusCode::kInvalidArgument);
    return;
  }
  MESHCA_CHECK(report->behind_first.size() <= meshca::HeldReport::kBehindMax);
  MESHCA_CHECK(report->under.size() <= meshca::HeldReport::kUnderMax);
  for (const meshca::BehindConsumer& consumer : report->behind_first) {
    MESHCA_CHECK(IsShown(consumer.spiffe_id) && IsShown(consumer.program));
  }
}

void CheckHello(const v1::AttachHello& hello) {
  const auto version = meshca::AgreeOnProtocol(hello.protocol_version());
  MESHCA_CHECK(!version.ok() || *version <= meshca::kAgentProtocolVersion);
  MESHCA_CHECK(IsShown(meshca::VersionText(hello.agent_version())));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto quiet = google::protobuf::SetLogHandler(nullptr);
  (void)quiet;
  v1::AttachRequest request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return 0;
  if (request.has_held()) CheckReport(request.held());
  if (request.has_hello()) CheckHello(request.hello());
  return 0;
}
