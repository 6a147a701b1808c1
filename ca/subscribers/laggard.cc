#include "ca/subscribers/laggard.h"

#include "absl/strings/str_cat.h"
#include "ca/base/utc_text.h"

namespace meshca {
Laggard LaggardOf(const SubscriberRecord& subscriber) {
  Laggard laggard;
  laggard.spiffe_id = subscriber.spiffe_id;
  laggard.instance = subscriber.instance;
  laggard.node = subscriber.node;
  laggard.via = subscriber.kind;
  laggard.connected = subscriber.connected;
  laggard.trust_version = subscriber.trust_version;
  laggard.serial = subscriber.serial;
  return laggard;
}

absl::string_view LaggardReasonName(Laggard::Reason reason) {
  switch (reason) {
    case Laggard::Reason::kNotAcknowledged: return "not-acknowledged";
    case Laggard::Reason::kRejected: return "rejected";
    case Laggard::Reason::kOldKey: return "old-key";
    case Laggard::Reason::kLiveLeaf: return "live-leaf";
    case Laggard::Reason::kExported: return "exported-authority";
    case Laggard::Reason::kRootsUnobserved: return "roots-unobserved";
  }
  return "unknown";
}

std::string LaggardName(const Laggard& laggard) {
  if (laggard.via == kPublishedKind || laggard.reason == Laggard::Reason::kExported) return laggard.instance;
  std::string text = laggard.spiffe_id.empty() ? "(no identity)" : laggard.spiffe_id;
  if (!laggard.node.empty()) absl::StrAppend(&text, " on ", laggard.node);
  if (!laggard.instance.empty()) absl::StrAppend(&text, " (", laggard.instance, ")");
  return text;
}

std::string LaggardText(const Laggard& laggard) {
  std::string text = LaggardName(laggard);
  switch (laggard.reason) {
    case Laggard::Reason::kNotAcknowledged: absl::StrAppend(&text, ": holds bundle ", laggard.trust_version); break;
    case Laggard::Reason::kRejected: absl::StrAppend(&text, ": rejected the bundle"); break;
    case Laggard::Reason::kOldKey:
      absl::StrAppend(&text, laggard.serial.empty()
                                 ? ": has not acknowledged a key"
                                 : absl::StrCat(": has not acknowledged a key after ", laggard.serial));
      break;
    case Laggard::Reason::kLiveLeaf:
      absl::StrAppend(&text, ": certificate ", laggard.serial, " of ", laggard.via);
      break;
    case Laggard::Reason::kExported: absl::StrAppend(&text, ": may sign elsewhere under the old root"); break;
    case Laggard::Reason::kRootsUnobserved:
      absl::StrAppend(&text, ": takes its key here and its roots elsewhere");
      break;
  }
  absl::StrAppend(&text, ", since ", UtcText(laggard.since));
  if (laggard.until != absl::InfiniteFuture()) absl::StrAppend(&text, ", until ", UtcText(laggard.until));
  if (laggard.renews_by != absl::InfiniteFuture()) {
    absl::StrAppend(&text, ", renews by itself at the latest at ", UtcText(laggard.renews_by));
  }
  if (!laggard.detail.empty()) absl::StrAppend(&text, ": ", laggard.detail);
  return text;
}

}  // namespace meshca
