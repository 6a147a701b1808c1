#include "ca/rpc/shut_out_log.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "ca/base/log.h"

namespace meshca::rpc {
namespace {

struct Words {
  const char* what;
  const char* advice;
};

constexpr char kFindTheCaller[] = "find out why this caller needs so many; limits of the configuration set the bounds";
constexpr char kFindTheClient[] =
    "find out what this client is and what it does; log level debug names each connection";

Words WordsFor(LimitKind limit) {
  switch (limit) {
    case LimitKind::kConnectionsGlobal:
      return {
          "connections are refused: every place of the public listeners is taken",
          "raise the limit of open files (LimitNOFILE=, ulimit -Hn) and limits.connections_max, or close what leaks"};
    case LimitKind::kConnectionsPerSource:
      return {
          "connections are refused: one caller has its whole share of the places",
          "close what this caller leaks; limits.connections_per_source_max and the limit of open files set the share"};
    case LimitKind::kConnectionsPrivileged:
      return {"connections to the admin socket are refused: its reserve is taken",
              "end the commands that hold them (ss -xp shows whose they are)"};
    case LimitKind::kGaveWay:
      return {"an idle connection gave its place to another caller, because all places are taken",
              "find out why this caller needs so many; more open files (LimitNOFILE=) make more places"};
    case LimitKind::kDescriptors:
      return {"connections cannot be accepted", "raise the limit of open files (LimitNOFILE=, ulimit -Hn)"};
    case LimitKind::kSourceOverRate:
      return {"connections are refused: this caller resets, pings or changes settings too often",
              "find out what this caller does; it is let in again when it has been quiet for some seconds"};
    case LimitKind::kHandshakesPaced:
      return {"TLS handshakes are slowed down, because too many from this address failed",
              "find out who fails there (log level debug names each); clients with valid certificates still get in"};
    case LimitKind::kHandshakeStalled:
      return {"TLS handshakes that stood still were ended, because others from this address waited",
              "find out who begins handshakes there and does not go on"};
    case LimitKind::kCalls:
      return {"calls are refused: too many a second from one caller",
              "find out why it calls so often, or raise limits.calls_per_second_per_source"};
    case LimitKind::kStreamsPerSource: return {"calls are refused: one caller has too many open", kFindTheCaller};
    case LimitKind::kStreamsGlobal:
      return {"calls are refused: too many are open", "raise limits.streams_max if the host has the memory"};
    case LimitKind::kBufferedBytes:
      return {"calls are refused: too many bytes wait for clients that do not read",
              "find out which clients do not read, or raise limits.buffered_mib_max"};
    default: return {"connections are cut, because they do more of something than any honest client", kFindTheClient};
  }
}

}  // namespace

std::optional<uint64_t> ShutOutLog::Due(LimitKind limit, SourceKey::Kind kind, int64_t now_ns) {
  return told_[static_cast<size_t>(limit)][static_cast<size_t>(kind)].Due(now_ns);
}

void ShutOutLog::Tell(LimitKind limit, const Source& source, absl::string_view peer, int64_t now_ns) {
  const std::optional<uint64_t> others = Due(limit, source.key.kind, now_ns);
  if (!others) return;
  const Words words = WordsFor(limit);
  LogWarning(words.what, {{"limit", std::string(LimitName(limit))},
                          {"caller", source.name},
                          {"peer", std::string(peer)},
                          {"others_since_last_line", absl::StrCat(*others)},
                          {"do", words.advice}});
}

void ShutOutLog::TellNoDescriptors(absl::string_view error, int64_t now_ns) {
  const std::optional<uint64_t> others = Due(LimitKind::kDescriptors, SourceKey::Kind::kIpv4, now_ns);
  if (!others) return;
  const Words words = WordsFor(LimitKind::kDescriptors);
  LogWarning(words.what, {{"limit", std::string(LimitName(LimitKind::kDescriptors))},
                          {"error", std::string(error)},
                          {"others_since_last_line", absl::StrCat(*others)},
                          {"do", words.advice}});
}

}  // namespace meshca::rpc
