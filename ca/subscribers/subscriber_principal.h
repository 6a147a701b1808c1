// Tells which caller (principal) a subscriber instance belongs to. One caller may have many instances.
#ifndef MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_PRINCIPAL_H_
#define MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_PRINCIPAL_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "ca/subscribers/subscriber_record.h"

namespace meshca {

// Texts for SubscriberRecord::peer. Of a process on a Unix socket: "pid 4242 uid 1000". Of a peer with a client
// certificate: "10.0.0.7:41822 line 0a1b", its address and the serial number (hex) of the first certificate in its
// chain of renewals. The functions below parse these texts, so that the principal is still known after a restart.
std::string UnixPeerText(int64_t pid, uint32_t uid);
std::string CertificatePeerText(absl::string_view address, absl::string_view line);

// The uid of the peer's process; nullopt: it is not on a Unix socket, or the row does not say.
std::optional<uint32_t> SubscriberUid(const SubscriberRecord& record);

// Its pid, on the same terms.
std::optional<int32_t> SubscriberPid(const SubscriberRecord& record);

// Names the caller behind the instance, as the kernel or its client certificate proves it, whatever node id it gives:
// "uid 1000" or "spiffe://td/web by certificate 0a1b". If the row names neither uid nor line: the SPIFFE ID alone.
std::string SubscriberPrincipal(const SubscriberRecord& record);

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_PRINCIPAL_H_
