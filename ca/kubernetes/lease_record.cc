#include "ca/kubernetes/lease_record.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ca/base/printable.h"
#include "ca/kubernetes/micro_time.h"
#include "ca/kubernetes/picked_fields.h"
#include "ca/x509/digest.h"

namespace meshca::kubernetes {
namespace {

constexpr char kNamePrefix[] = "meshca-";
constexpr size_t kPlainNameBytesMax = 200;
constexpr size_t kDigestBytes = 16;
// Of what others may have written there, that is kept and shown.
constexpr size_t kHolderBytesMax = 512;

// In the order of LeasePaths.
enum LeaseField {
  kLeaseKind,
  kLeaseVersion,
  kLeaseUid,
  kHolder,
  kProcess,
  kAcquired,
  kRenewed,
  kSeconds,
  kTransitions
};

const std::vector<std::string>& LeasePaths() {
  static const auto* const paths = new std::vector<std::string>{"kind",
                                                                "metadata.resourceVersion",
                                                                "metadata.uid",
                                                                "spec.holderIdentity",
                                                                R"(metadata.annotations.meshca\.io/process)",
                                                                "spec.acquireTime",
                                                                "spec.renewTime",
                                                                "spec.leaseDurationSeconds",
                                                                "spec.leaseTransitions"};
  return *paths;
}

Resource Leases() { return {"coordination.k8s.io", "v1", "leases"}; }

bool IsLowerAlphanumeric(char character) {
  return absl::ascii_isdigit(static_cast<unsigned char>(character)) ||
         absl::ascii_islower(static_cast<unsigned char>(character));
}

// A label of RFC 1123: letters and digits, hyphens inside.
bool IsLabel(absl::string_view label) {
  return !label.empty() && IsLowerAlphanumeric(label.front()) && IsLowerAlphanumeric(label.back()) &&
         std::all_of(label.begin(), label.end(),
                     [](char character) { return character == '-' || IsLowerAlphanumeric(character); });
}

absl::Time TimeOf(absl::string_view text) {
  absl::Time time;
  std::string why;
  return absl::ParseTime(absl::RFC3339_full, text, &time, &why) ? time : absl::InfinitePast();
}

}  // namespace

std::string LeasePlace::Text() const { return absl::StrCat(namespace_name, "/", name); }

std::string LeaseName(absl::string_view trust_domain) {
  const std::vector<absl::string_view> labels = absl::StrSplit(trust_domain, '.');
  if (trust_domain.size() <= kPlainNameBytesMax && std::all_of(labels.begin(), labels.end(), IsLabel)) {
    return absl::StrCat(kNamePrefix, trust_domain);
  }
  return absl::StrCat(kNamePrefix, absl::BytesToHexString(Sha256(trust_domain).substr(0, kDigestBytes)));
}

ApiCall CallToGetLease(const LeasePlace& place) {
  ApiCall call = CallToGet(Leases(), place.namespace_name, place.name);
  call.granted_for = place.name;
  return call;
}

ApiCall CallToWriteLease(const LeasePlace& place, const LeaseRecord& record) {
  const std::string version = record.resource_version.empty()
                                  ? ""
                                  : absl::StrCat(R"("resourceVersion":)", JsonString(record.resource_version), ",");
  ApiCall call = CallToReplace(
      Leases(), place.namespace_name, place.name,
      absl::StrCat(R"({"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":)",
                   JsonString(place.name), R"(,"namespace":)", JsonString(place.namespace_name), ",", version,
                   R"("labels":{"app.kubernetes.io/managed-by":"meshca"},"annotations":{"meshca.io/trust-domain":)",
                   JsonString(place.trust_domain), R"(,"meshca.io/process":)", JsonString(record.process),
                   R"(}},"spec":{"holderIdentity":)", JsonString(record.holder), R"(,"leaseDurationSeconds":)",
                   std::max<int64_t>(1, absl::ToInt64Seconds(record.duration)), R"(,"acquireTime":")",
                   MicroTimeText(record.acquired), R"(","renewTime":")", MicroTimeText(record.renewed),
                   R"(","leaseTransitions":)", record.transitions, "}}"));
  call.granted_for = place.name;
  return call;
}

absl::StatusOr<LeaseRecord> ReadLease(absl::string_view json) {
  const absl::StatusOr<PickedFields> fields = PickFields(json, LeasePaths());
  if (!fields.ok() || fields->Text(kLeaseKind) != "Lease" || fields->Text(kLeaseVersion).empty()) {
    return absl::UnavailableError("the API server's answer is no Lease");
  }
  LeaseRecord record;
  record.resource_version = std::string(fields->Text(kLeaseVersion));
  record.uid = std::string(fields->Text(kLeaseUid));
  record.holder = Printable(fields->Text(kHolder).substr(0, kHolderBytesMax));
  record.process = std::string(fields->Text(kProcess).substr(0, kHolderBytesMax));
  record.acquired = TimeOf(fields->Text(kAcquired));
  record.renewed = TimeOf(fields->Text(kRenewed));
  int32_t seconds = 0;
  if (absl::SimpleAtoi(fields->Text(kSeconds), &seconds)) record.duration = absl::Seconds(std::max(seconds, 0));
  (void)absl::SimpleAtoi(fields->Text(kTransitions), &record.transitions);
  return record;
}

}  // namespace meshca::kubernetes
