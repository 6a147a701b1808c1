// A Lease of coordination.k8s.io as the API server holds it, and the calls that read and write it.
#ifndef MESHCA_CA_KUBERNETES_LEASE_RECORD_H_
#define MESHCA_CA_KUBERNETES_LEASE_RECORD_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "ca/kubernetes/api_call.h"

namespace meshca::kubernetes {

// Whose the Lease is. A value.
struct LeaseRecord {
  std::string resource_version;  // "": there is no such object
  std::string uid;               // of the object; read, and never written
  std::string holder;            // "": nobody's
  // Of the holder: another one after each start, so that it knows what it has written itself.
  std::string process;
  absl::Time acquired = absl::InfinitePast();  // by the holder's clock, for people alone; InfinitePast: it does not say
  absl::Time renewed = absl::InfinitePast();   // the same
  absl::Duration duration;                     // how long after a change nobody else takes it; zero: it does not say
  int64_t transitions = 0;                     // how often it went to another holder
};

// Where one Lease stands. A value.
struct LeasePlace {
  std::string namespace_name;
  std::string name;
  std::string trust_domain;

  std::string Text() const;  // "kube-system/meshca-prod.example"
};

// The name of the Lease of a trust domain, a DNS subdomain of RFC 1123 as Kubernetes wants: "meshca-" and the trust
// domain, or where that is no such name or longer than 200 bytes, the first 32 hexadecimal digits of its SHA-256. The
// chart writes the same name into a Role.
std::string LeaseName(absl::string_view trust_domain);

ApiCall CallToGetLease(const LeasePlace& place);
// Replaces the Lease by `record`, whose resource_version is the one that was read; creates it where that is "". Aborted
// or InvalidArgument: somebody was first.
ApiCall CallToWriteLease(const LeasePlace& place, const LeaseRecord& record);

// Errors: Unavailable, for what is no Lease.
absl::StatusOr<LeaseRecord> ReadLease(absl::string_view json);

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_LEASE_RECORD_H_
