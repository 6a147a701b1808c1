#include "cli/agent_process/membership.h"

#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "ca/base/clock.h"
#include "ca/base/log.h"
#include "ca/base/status.h"
#include "ca/base/version.h"
#include "ca/identity/join_token_text.h"
#include "cli/client/secret_file.h"

namespace meshca::cli {
namespace {

constexpr absl::Duration kByKeyRarest = absl::Minutes(1);

// What tells one content of a file from another without reading it; "": there is no such file. A file whose owner or
// mode was mended is another one.
std::string LookAt(const std::string& path) {
  struct stat file {};
  if (path.empty() || path == kStandardInput || ::stat(path.c_str(), &file) != 0) return "";
  return absl::StrCat(file.st_ino, " ", file.st_size, " ", file.st_mtim.tv_sec, ".", file.st_mtim.tv_nsec, " ",
                      file.st_ctim.tv_sec, ".", file.st_ctim.tv_nsec);
}

}  // namespace

Membership::Membership(MembershipOptions options, const Parts& parts)
    : options_(std::move(options)), parts_(parts), by_key_(kLook, kByKeyRarest, parts.entropy) {}

absl::Status Membership::Join() {
  if (parts_.identity.Current() != nullptr) {
    WarnOfATokenThatIsNotUsed();
    return absl::OkStatus();
  }
  if (options_.token_file.empty()) {
    return WithReason(
        absl::FailedPreconditionError(absl::StrCat(
            "this agent has not joined yet (nothing in ", parts_.state.folder(),
            "), and has no token to join by: on the CA's host, meshca token create --node NODE --out token; "
            "then --token-file token here")),
        "TOKEN_MISSING");
  }
  looked_at_ = LookAt(options_.token_file);
  MESHCA_RETURN_IF_ERROR(JoinByToken());
  joined_now_ = true;
  return absl::OkStatus();
}

// Somebody may have meant to make this node another one, or to mend it: neither happens by itself.
void Membership::WarnOfATokenThatIsNotUsed() {
  if (LookAt(options_.token_file).empty()) return;
  const absl::StatusOr<SecretBytes> token = ReadSecretFile(options_.token_file);
  if (!token.ok()) return;
  const absl::StatusOr<bool> spent = parts_.state.IsSpent(JoinTokenSha256(token->reveal()));
  if (!spent.ok() || *spent) return;
  LogWarning(
      "this agent has joined already: its token is used where the certificate ends, or the CA refuses it. To be "
      "another node, give it another state directory",
      {{"node", parts_.identity.Current()->node},
       {"state_dir", parts_.state.folder()},
       {"token_file", options_.token_file}});
}

absl::Status Membership::JoinByToken() {
  MESHCA_ASSIGN_OR_RETURN(const SecretBytes token, ReadSecretFile(options_.token_file));
  return JoinBy([&token](agent::Joining& joining) { return joining.Run(token); });
}

absl::Status Membership::JoinBy(absl::FunctionRef<absl::StatusOr<agent::OwnIdentityPtr>(agent::Joining&)> run) {
  agent::JoiningOptions options;
  options.servers = options_.servers;
  options.agent_version = kVersion;
  auto joining = std::make_shared<agent::Joining>(
      std::move(options), parts_.state, parts_.trust, SystemClock(), parts_.entropy, [](const absl::Status& why) {
        LogWarning("not joined yet; it is tried again", {{"why", std::string(why.message())}});
      });
  {
    MutexLock lock(mutex_);
    if (cancelled_) return absl::CancelledError("stopped");
    joining_ = joining;
  }
  absl::StatusOr<agent::OwnIdentityPtr> joined = run(*joining);
  {
    MutexLock lock(mutex_);
    joining_ = nullptr;
  }
  MESHCA_RETURN_IF_ERROR(joined.status());
  LogInfo("joined", {{"node", (*joined)->node}, {"spiffe_id", (*joined)->id.uri()}});
  parts_.identity.Set(*std::move(joined));
  return absl::OkStatus();
}

bool Membership::JoinAgainWhereNeeded(const agent::CaConnectionStatus& connection) {
  const agent::OwnIdentityPtr own = parts_.identity.Current();
  const bool ended = own->validity.not_after <= parts_.clock.LikelyNow();
  const bool refused = connection.state == agent::CaConnectionState::kRefused;
  absl::Status joined;
  if (ended || refused) {
    if (HasNewToken()) {
      joined = JoinByToken();
    } else if (ended) {
      joined = JoinAgainByKey(*own);
    } else {
      return false;  // what stands against it was said, by the CA or about the last token
    }
  }
  if (!joined.ok() && !absl::IsCancelled(joined)) {
    joined = absl::Status(joined.code(), absl::StrCat(joined.message(), "; ", WhereATokenIsLookedFor()));
  }
  bool is_news = false;
  {
    MutexLock lock(mutex_);
    is_news = error_ != joined;
    error_ = joined;
  }
  if (!joined.ok() && !absl::IsCancelled(joined) && is_news) {
    LogError("the agent needs another certificate, and could not join again", {{"why", std::string(joined.message())}});
  }
  if (!joined.ok() || !(ended || refused)) return false;
  by_key_.Reset();
  by_key_at_ = absl::ZeroDuration();
  return true;
}

// The same file is not tried twice: a token that was refused once is refused again.
bool Membership::HasNewToken() {
  const std::string seen = LookAt(options_.token_file);
  return !seen.empty() && std::exchange(looked_at_, seen) != seen;
}

// Not at each look: what the CA refused it goes on refusing, until an operator does something.
absl::Status Membership::JoinAgainByKey(const agent::OwnIdentity& ended) {
  if (parts_.clock.SinceBoot() < by_key_at_) return by_key_said_;
  by_key_said_ = JoinBy([&ended](agent::Joining& joining) { return joining.RunByKey(ended); });
  by_key_at_ = parts_.clock.SinceBoot() + by_key_.Next();
  return by_key_said_;
}

std::string Membership::WhereATokenIsLookedFor() const {
  const std::string command = absl::StrCat("on the CA's host: meshca token create --node ",
                                           parts_.identity.Current()->node, " --replace --out token");
  if (options_.token_file.empty() || options_.token_file == kStandardInput) {
    return absl::StrCat(command, "; then start this agent with --token-file token");
  }
  return absl::StrCat(command, "; then put it at ", options_.token_file,
                      ", where this agent looks for a new one every ", absl::FormatDuration(kLook));
}

absl::Status Membership::LastError() const {
  MutexLock lock(mutex_);
  return error_;
}

void Membership::Cancel() {
  MutexLock lock(mutex_);
  cancelled_ = true;
  if (joining_ != nullptr) joining_->Stop();
}

}  // namespace meshca::cli
