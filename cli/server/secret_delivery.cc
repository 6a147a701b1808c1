#include "cli/server/secret_delivery.h"

#include <utility>
#include <vector>

#include "ca/base/status.h"
#include "cli/config/convert.h"

namespace meshca::cli {
namespace {

std::vector<const EvidenceSource*> EvidenceOf(sds::SdsService& sds, AgentService& agents,
                                              const KubernetesSide* kubernetes) {
  std::vector<const EvidenceSource*> evidence = {&sds.subscribers(), &agents.registry()};
  if (kubernetes != nullptr) evidence.push_back(kubernetes);
  return evidence;
}

NodeKeyAuthenticator::Options NodeKeyOptions(const config::v1::Config& config) {
  return {.grace = config::ToDuration(config.agents().rejoin_grace())};
}

}  // namespace

SecretDelivery::SecretDelivery(const Parts& parts)
    : state_(parts.state),
      trust_source_(*state_.authorities),
      svid_source_(parts.pipeline),
      certificates_(*state_.store),
      jwt_minter_(*state_.authorities),
      jwt_source_(jwt_minter_, state_.authorities->clock()),
      sds_(SdsParts(parts)),
      own_reissuer_(sds_.keys()),
      sds_subscribers_(sds_),
      node_keys_(*state_.store, parts.trust_domain, state_.authorities->clock(), parts.entropy,
                 NodeKeyOptions(parts.config.values)),
      agents_(AgentParts(parts)),
      reissuer_(own_reissuer_, agents_.registry()),
      subscribers_(sds_subscribers_, agents_, parts.kubernetes),
      evidence_(EvidenceOf(sds_, agents_, parts.kubernetes)) {}

sds::SdsService::Parts SecretDelivery::SdsParts(const Parts& from) {
  const config::v1::Config& values = from.config.values;
  sds::SdsService::Parts parts;
  parts.trust_domain = from.trust_domain;
  parts.trust = &trust_source_;
  parts.authenticator = &from.doors.sds();
  parts.svids = &svid_source_;
  parts.certificates = &certificates_;
  parts.revocations = &certificates_;
  parts.jwt = &jwt_source_;
  parts.subscribers = state_.store.get();
  parts.clock = &state_.authorities->clock();
  parts.entropy = &from.entropy;
  parts.leaf_lifetime = config::ToDuration(values.leaf().lifetime());
  parts.room.per_principal = values.rotation().instances_per_caller_max();
  parts.delivered_after = config::ToDuration(values.rotation().delivered_after());
  parts.keys.key_type = config::ToKeyType(values.leaf().key_type());
  parts.keys.renew_at = values.sds().renew_at_percent() / 100.0;
  return parts;
}

AgentService::Parts SecretDelivery::AgentParts(const Parts& from) {
  AgentService::Parts parts;
  parts.join_tokens = &from.doors.join_token();
  parts.node_keys = &node_keys_;
  parts.certificates = &from.doors.client_certificate();
  parts.pipeline = &from.pipeline;
  parts.issuances = state_.store.get();
  parts.nodes = state_.store.get();
  parts.subscribers = state_.store.get();
  parts.authorities = state_.authorities.get();
  parts.jwt = &jwt_minter_;
  parts.delivered_after = config::ToDuration(from.config.values.rotation().delivered_after());
  parts.clock = &state_.authorities->clock();
  parts.entropy = &from.entropy;
  parts.leaf_skew = config::ToEvidencePolicy(from.config.values).skew;
  return parts;
}

absl::Status SecretDelivery::Start() {
  MESHCA_RETURN_IF_ERROR(agents_.Start());
  TellAgentsOfEntries();
  return sds_.Start();
}

void SecretDelivery::EntriesChanged() {
  sds_.EntriesChanged();
  TellAgentsOfEntries();
}

void SecretDelivery::TellAgentsOfEntries() {
  agents_.EntriesChanged([this] {
    const std::shared_ptr<const EntrySnapshot> entries = state_.entries.Current();
    return std::shared_ptr<const NodeEntries::List>(entries, &entries->entries());
  });
}

std::optional<AttachedAgent> SecretDelivery::FindAgent(absl::string_view node) const {
  const std::optional<AgentView> agent = agents_.registry().Find(node);
  if (!agent.has_value()) return std::nullopt;
  return AttachedAgent{agent->connected, agent->version,   agent->trust_version, agent->consumers,
                       agent->behind,    agent->displaced, agent->displaced_at};
}

void SecretDelivery::Shutdown() {
  sds_.Shutdown();
  agents_.Shutdown();
}

}  // namespace meshca::cli
