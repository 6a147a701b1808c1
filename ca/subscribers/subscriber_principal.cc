#include "ca/subscribers/subscriber_principal.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace meshca {
namespace {

constexpr absl::string_view kUid = " uid ";
constexpr absl::string_view kLine = " line ";

// What follows `word`; "" where it does not stand.
absl::string_view After(absl::string_view text, absl::string_view word) {
  const size_t at = text.rfind(word);
  return at == absl::string_view::npos ? absl::string_view() : text.substr(at + word.size());
}

}  // namespace

std::string UnixPeerText(int64_t pid, uint32_t uid) { return absl::StrCat("pid ", pid, kUid, uid); }

std::string CertificatePeerText(absl::string_view address, absl::string_view line) {
  return line.empty() ? std::string(address) : absl::StrCat(address, kLine, line);
}

std::optional<uint32_t> SubscriberUid(const SubscriberRecord& record) {
  if (!absl::StartsWith(record.peer, "pid ")) return std::nullopt;
  uint32_t uid = 0;
  if (!absl::SimpleAtoi(After(record.peer, kUid), &uid)) return std::nullopt;
  return uid;
}

std::optional<int32_t> SubscriberPid(const SubscriberRecord& record) {
  absl::string_view text = record.peer;
  int32_t pid = 0;
  if (!absl::ConsumePrefix(&text, "pid ") || !absl::SimpleAtoi(text.substr(0, text.find(kUid)), &pid)) {
    return std::nullopt;
  }
  return pid;
}

std::string SubscriberPrincipal(const SubscriberRecord& record) {
  if (const std::optional<uint32_t> uid = SubscriberUid(record); uid.has_value()) return absl::StrCat("uid ", *uid);
  const absl::string_view line = After(record.peer, kLine);
  return line.empty() ? record.spiffe_id : absl::StrCat(record.spiffe_id, " by certificate ", line);
}

}  // namespace meshca
