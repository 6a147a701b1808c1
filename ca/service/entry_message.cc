#include "ca/service/entry_message.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/authn/overflow_ids.h"
#include "ca/authn/selector.h"
#include "ca/base/status.h"
#include "ca/issuance/issuance_request.h"
#include "ca/service/proto_time.h"
#include "ca/x509/digest.h"
#include "ca/x509/encoding.h"

namespace meshca::admin_methods {
namespace {

namespace v1 = ::meshca::admin::v1;

constexpr size_t kIdBytesMax = 64;

absl::Status CheckId(const std::string& id) {
  const auto allowed = [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.'; };
  if (id.size() <= kIdBytesMax && std::all_of(id.begin(), id.end(), allowed)) return absl::OkStatus();
  return WithReason(absl::InvalidArgumentError("id must be 1-64 letters, digits, '-', '_' or '.'"), "ENTRY_ID");
}

// The same entry gets the same id wherever it is applied, so a file without ids may be applied again and again.
std::string DerivedId(const RegistrationEntry& entry) {
  const std::string key = absl::StrCat(entry.spiffe_id.uri(), "\n", absl::StrJoin(entry.selectors, "\n"));
  return HexLower(absl::string_view(Sha256(key)).substr(0, 8));
}

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
  return message;
}

absl::StatusOr<RegistrationEntry> ReadEntryMessage(const AdminContext& context, const std::string& actor,
                                                   const v1::Entry& message) {
  RegistrationEntry entry;
  MESHCA_ASSIGN_OR_RETURN(entry.spiffe_id, SpiffeId::Parse(message.spiffe_id()));
  if (!entry.spiffe_id.MemberOf(context.facts.trust_domain) || !entry.spiffe_id.has_path()) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat("SPIFFE ID ", entry.spiffe_id.uri(),
                                                              " is no workload's ID of trust domain ",
                                                              context.facts.trust_domain.name())),
                      "SPIFFE_ID_TRUST_DOMAIN");
  }
  MESHCA_ASSIGN_OR_RETURN(entry.selectors,
                          NormaliseSelectors({message.selectors().begin(), message.selectors().end()}));
  for (const std::string& text : entry.selectors) {
    MESHCA_ASSIGN_OR_RETURN(const Selector selector, Selector::Parse(text));
    const std::string fault = OverflowIds::OfKernel().Fault(selector);
    if (fault.empty()) continue;
    return WithReason(absl::InvalidArgumentError(absl::StrCat("selector \"", text, "\": ", fault)), "SELECTOR_NOBODY");
  }
  for (const std::string& name : message.dns_names()) {
    MESHCA_RETURN_IF_ERROR(CheckDnsName(name));
    entry.dns_names.push_back(absl::AsciiStrToLower(name));  // as requests are compared
  }
  entry.ttl = ToDuration(message.ttl());
  if (entry.ttl < absl::ZeroDuration()) return absl::InvalidArgumentError("ttl is negative");
  MESHCA_RETURN_IF_ERROR(CheckId(message.id()));
  entry.id = message.id().empty() ? DerivedId(entry) : message.id();
  entry.created_at = context.clock.Now();
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
