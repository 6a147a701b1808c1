#include "ca/rpc/client/error_details.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/unknown_field_set.h>

#include "absl/strings/match.h"
#include "google/rpc/status.pb.h"

namespace meshca::rpc {

std::string ReasonInDetails(const std::string& details) {
  google::rpc::Status status;
  if (details.empty() || !status.ParseFromString(details)) return "";
  for (const auto& detail : status.details()) {
    if (detail.type_url() != "type.googleapis.com/google.rpc.ErrorInfo") continue;
    // ErrorInfo is two strings here (reason 1, domain 2): not worth a contract of its own.
    google::protobuf::UnknownFieldSet fields;
    if (!fields.ParseFromString(detail.value())) continue;
    std::string reason, domain;
    for (int i = 0; i < fields.field_count(); ++i) {
      const auto& field = fields.field(i);
      if (field.type() != google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED) continue;
      if (field.number() == 1) reason = field.length_delimited();
      if (field.number() == 2) domain = field.length_delimited();
    }
    if (domain == "meshca") return reason;
  }
  return "";
}

}  // namespace meshca::rpc
