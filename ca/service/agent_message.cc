#include "ca/service/agent_message.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"
#include "ca/base/version.h"
#include "ca/rpc/protobuf_payload.h"
#include "ca/service/proto_time.h"
#include "ca/spiffe/spiffe_id.h"

namespace meshca {
namespace {

namespace v1 = agent::v1;

constexpr size_t kProgramBytesMax = 256;
constexpr size_t kVersionBytesMax = 64;
constexpr size_t kAuthorityIdBytes = 64;
constexpr size_t kMadeMax = 64;

absl::Status Malformed(absl::string_view what) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat("held: ", what)), "REPORT_MALFORMED");
}

// "1", or "2 and 1".
std::string VersionsUpTo(uint32_t newest) { return newest == 1 ? "1" : absl::StrCat(newest, " and ", newest - 1); }

bool IsAuthorityId(const std::string& text) {
  return text.size() == kAuthorityIdBytes && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

absl::StatusOr<BehindConsumer> ReadBehind(const v1::Behind& behind) {
  BehindConsumer consumer;
  if (!behind.spiffe_id().empty()) {
    const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(behind.spiffe_id());
    if (!id.ok()) return Malformed(absl::StrCat("behind_first: ", id.status().message()));
    consumer.spiffe_id = id->uri();
  }
  consumer.pid = behind.pid();
  consumer.program = Printable(absl::string_view(behind.program()).substr(0, kProgramBytesMax));
  consumer.trust_version = behind.trust_version();
  consumer.since = behind.has_since() ? ToTime(behind.since()) : absl::UnixEpoch();
  consumer.delivered = behind.delivered();
  if (!behind.authority_id().empty() && !IsAuthorityId(behind.authority_id())) {
    return Malformed("behind_first: authority_id is no lower-case SHA-256 in hex");
  }
  consumer.authority_id = behind.authority_id();
  return consumer;
}

}  // namespace

absl::StatusOr<uint32_t> AgreeOnProtocol(uint32_t newest) {
  if (newest == 0) {
    return WithReason(
        absl::InvalidArgumentError("hello: protocol_version is 0; it is the newest that the agent speaks"),
        "PROTOCOL_VERSION");
  }
  const uint32_t common = std::min(newest, kAgentProtocolVersion);
  if (std::max(newest, kAgentProtocolVersion) - common <= 1) return common;
  return WithReason(
      absl::FailedPreconditionError(absl::StrCat(
          "the agent speaks the versions ", VersionsUpTo(newest), " of the protocol, and this server (meshca ",
          kVersion, ") ", VersionsUpTo(kAgentProtocolVersion), "; bring the older one of both up to date")),
      "PROTOCOL_VERSION");
}

absl::StatusOr<HeldReport> ReadHeld(const v1::Held& held) {
  if (held.behind_first_size() > static_cast<int>(HeldReport::kBehindMax)) {
    return Malformed(
        absl::StrCat("behind_first names ", held.behind_first_size(), " consumers; at most ", HeldReport::kBehindMax));
  }
  if (held.under_size() > static_cast<int>(HeldReport::kUnderMax)) {
    return Malformed(absl::StrCat("under names ", held.under_size(), " authorities; at most ", HeldReport::kUnderMax));
  }
  HeldReport report;
  report.trust_version = held.trust_version();
  report.own_trust_version = held.own_trust_version();
  report.entries_revision = held.entries_revision();
  report.consumers = held.consumers();
  report.behind = held.behind();
  report.certificates = held.certificates();
  report.behind_first.reserve(static_cast<size_t>(held.behind_first_size()));
  for (const v1::Behind& behind : held.behind_first()) {
    MESHCA_ASSIGN_OR_RETURN(BehindConsumer consumer, ReadBehind(behind));
    report.behind_first.push_back(std::move(consumer));
  }
  for (const v1::HeldUnder& under : held.under()) {
    if (!IsAuthorityId(under.authority_id())) {
      return Malformed("under: an authority_id is 64 lower-case hexadecimal digits");
    }
    report.under.push_back({under.authority_id(), under.certificates()});
  }
  return report;
}

std::string VersionText(absl::string_view version) { return Printable(version.substr(0, kVersionBytesMax)); }

v1::Trust TrustMessage(const TrustBundle& bundle) {
  v1::Trust trust;
  trust.set_version(bundle.sequence_number);
  v1::TrustDomainKeys& own = *trust.add_domains();
  own.set_trust_domain(bundle.trust_domain.name());
  for (const Certificate& root : bundle.roots) own.add_x509_authorities(std::string(root.der().bytes()));
  for (const JwtKey& key : bundle.jwt_keys) {
    v1::JwtAuthority& authority = *own.add_jwt_authorities();
    authority.set_kid(key.key_id);
    authority.set_public_key(std::string(key.key.spki()));
  }
  return trust;
}

v1::AttachResponse WelcomeMessage(uint32_t protocol_version, absl::Duration heartbeat, absl::Duration delivered_after,
                                  std::optional<absl::Time> now) {
  v1::AttachResponse message;
  v1::AttachWelcome& welcome = *message.mutable_welcome();
  welcome.set_protocol_version(protocol_version);
  welcome.set_server_version(std::string(kVersion));
  SetDuration(heartbeat, welcome.mutable_heartbeat());
  SetDuration(delivered_after, welcome.mutable_delivered_after());
  if (now.has_value()) SetTime(*now, [&] { return welcome.mutable_now(); });
  return message;
}

v1::AttachResponse EntriesMessage(const EntriesUpdate& update, const EntriesPart& part) {
  v1::AttachResponse message;
  v1::EntriesChange& change = *message.mutable_entries();
  change.set_revision(update.revision);
  change.set_whole(part.whole);
  change.set_complete(part.complete);
  for (const RegistrationEntry* entry : part.put) {
    v1::NodeEntry& put = *change.add_put();
    put.set_id(entry->id);
    put.set_spiffe_id(entry->spiffe_id.uri());
    for (const std::string& selector : entry->selectors) put.add_selectors(selector);
    for (const std::string& name : entry->dns_names) put.add_dns_names(name);
    if (entry->ttl > absl::ZeroDuration()) SetDuration(entry->ttl, put.mutable_ttl());
    if (entry->jwt_ttl > absl::ZeroDuration()) SetDuration(entry->jwt_ttl, put.mutable_jwt_ttl());
    put.set_hint(entry->hint);
  }
  for (const std::string& id : part.deleted) change.add_deleted(id);
  return message;
}

v1::AttachResponse PermitMessage(const std::vector<std::string>& authority_ids, uint64_t certificates,
                                 absl::Duration within) {
  v1::AttachResponse message;
  v1::ReissuePermit& permit = *message.mutable_reissue();
  for (const std::string& id : authority_ids) permit.add_authority_ids(id);
  permit.set_certificates(static_cast<uint32_t>(certificates));
  SetDuration(within, permit.mutable_within());
  return message;
}

v1::AttachResponse RenewMessage(const std::vector<std::string>& spiffe_ids, const std::vector<std::string>& serials) {
  v1::AttachResponse message;
  v1::RenewNow& renew = *message.mutable_renew();
  for (const std::string& id : spiffe_ids) renew.add_spiffe_ids(id);
  for (const std::string& serial : serials) renew.add_serials(serial);
  return message;
}

v1::AttachResponse StopMessage(const std::vector<std::string>& serials, const std::vector<std::string>& spiffe_ids,
                               absl::string_view reason) {
  v1::AttachResponse message;
  v1::StopServing& stop = *message.mutable_stop();
  for (const std::string& serial : serials) stop.add_serials(serial);
  for (const std::string& id : spiffe_ids) stop.add_spiffe_ids(id);
  stop.set_reason(std::string(reason));
  return message;
}

void AddChain(const CertificateChain& chain, google::protobuf::RepeatedPtrField<std::string>* field) {
  *field->Add() = std::string(chain.leaf().bytes());
  for (const Certificate& issuer : chain.issuers()) *field->Add() = std::string(issuer.der().bytes());
}

std::shared_ptr<const EntriesMessages::Messages> EntriesMessages::Of(
    const std::shared_ptr<const EntriesUpdate>& update) {
  MutexLock lock(mutex_);
  if (made_.size() > kMadeMax) absl::erase_if(made_, [](const auto& made) { return made.second.update.expired(); });
  Made& made = made_[update.get()];
  if (made.messages != nullptr && made.update.lock() == update) return made.messages;
  Messages messages;
  for (const EntriesPart& part : update->parts) messages.push_back(rpc::Frame(EntriesMessage(*update, part)));
  made = {update, std::make_shared<const Messages>(std::move(messages))};
  return made.messages;
}

}  // namespace meshca
