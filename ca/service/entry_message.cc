#include "ca/service/entry_message.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "ca/authn/entry_rules.h"
#include "ca/base/status.h"
#include "ca/service/proto_time.h"

namespace meshca::admin_methods {
namespace {

namespace v1 = ::meshca::admin::v1;

}  // namespace

v1::Entry EntryMessage(const RegistrationEntry& entry) {
  v1::Entry message;
  message.set_id(entry.id);
  message.set_spiffe_id(entry.spiffe_id.uri());
  for (const std::string& selector : entry.selectors) message.add_selectors(selector);
  SetDuration(entry.ttl, message.mutable_ttl());
  for (const std::string& name : entry.dns_names) message.add_dns_names(name);
  SetTime(entry.created_at, [&] { return message.mutable_created_at(); });
  message.set_created_by(entry.created_by);
  for (const std::string& glob : entry.nodes) message.add_nodes(glob);
  message.set_hint(entry.hint);
  SetDuration(entry.jwt_ttl, message.mutable_jwt_ttl());
  return message;
}

absl::StatusOr<RegistrationEntry> ReadEntryMessage(const AdminContext& context, const std::string& actor,
                                                   const v1::Entry& message) {
  RegistrationEntry entry;
  MESHCA_ASSIGN_OR_RETURN(entry.spiffe_id, SpiffeId::Parse(message.spiffe_id()));
  entry.selectors.assign(message.selectors().begin(), message.selectors().end());
  entry.dns_names.assign(message.dns_names().begin(), message.dns_names().end());
  entry.ttl = ToDuration(message.ttl());
  entry.id = message.id();
  entry.nodes.assign(message.nodes().begin(), message.nodes().end());
  entry.hint = message.hint();
  entry.jwt_ttl = ToDuration(message.jwt_ttl());
  MESHCA_RETURN_IF_ERROR(CompleteEntry(context.facts.trust_domain, entry));
  // Certificates that were issued before it are not its own: a clock that is ahead would deny it those of the next
  // hours.
  entry.created_at = context.clock.LikelyNow();
  entry.created_by = actor;
  return entry;
}

absl::Status CheckEntryCount(absl::string_view bytes) {
  using google::protobuf::internal::WireFormatLite;
  static_assert(v1::ApplyEntriesPart::kEntriesFieldNumber == 1 && v1::ApplyEntriesRequest::kEntriesFieldNumber == 1);
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                                            static_cast<int>(bytes.size()));
  int entries = 0;
  while (const uint32_t tag = in.ReadTag()) {
    if (WireFormatLite::GetTagFieldNumber(tag) == 1) ++entries;
    if (!WireFormatLite::SkipField(&in, tag)) break;  // the parser says what is wrong
  }
  if (entries <= kMessageEntriesMax) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("entries: one message holds at most ", kMessageEntriesMax,
                                                 "; send the rest in further parts of ApplyEntriesInParts"));
}

absl::Status TellOfEntries(const AdminContext& context) {
  return context.entries_changed ? context.entries_changed() : absl::OkStatus();
}

}  // namespace meshca::admin_methods
