// Who answers for a subscriber instance: many instances may be one caller's.
#ifndef MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_PRINCIPAL_H_
#define MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_PRINCIPAL_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "ca/subscribers/subscriber_record.h"

namespace meshca {

// SubscriberRecord::peer of a process on a Unix socket, "pid 4242 uid 1000"; and of a peer with a client certificate,
// "10.0.0.7:41822 line 0a1b": its address, and the serial number (hex) of the first certificate of its renewals. The
// two are read back below, so that what is known of a caller survives a restart.
std::string UnixPeerText(int64_t pid, uint32_t uid);
std::string CertificatePeerText(absl::string_view address, absl::string_view line);

// The uid of the process at the other end; nothing: it is not on a Unix socket, or the row does not say.
std::optional<uint32_t> SubscriberUid(const SubscriberRecord& record);

// "uid 1000"; "spiffe://td/web by certificate 0a1b": whom the kernel, or the line of a certificate, proves to be behind
// the instance, whatever node id it gives. Of a row that names no line: the SPIFFE ID alone.
std::string SubscriberPrincipal(const SubscriberRecord& record);

}  // namespace meshca

#endif  // MESHCA_CA_SUBSCRIBERS_SUBSCRIBER_PRINCIPAL_H_
