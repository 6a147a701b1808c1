// Reads every #include of the project against the table of layers: an arrow that points up is a test failure that
// names file, line and the layers a file there may use.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"

namespace meshca {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = MESHCA_SOURCE_DIR;

// A layer and the layers directly below it; what those may use it may use too. "proto" stands for generated messages.
// A file belongs to the first layer whose folder it is in.
struct Layer {
  std::string folder;
  std::vector<std::string> below;
};

const std::vector<Layer>& Layers() {
  static const auto* const layers = new std::vector<Layer>{
      {"proto", {}},
      {"ca/base", {}},
      {"ca/json", {"ca/base"}},
      {"ca/http", {"ca/base"}},
      {"ca/spiffe", {"ca/base"}},
      {"ca/identity", {"ca/spiffe"}},
      {"ca/subscribers", {"ca/identity"}},
      {"ca/agents", {"ca/subscribers"}},
      {"ca/x509", {"ca/spiffe"}},
      {"ca/jwt", {"ca/x509", "ca/json"}},
      {"ca/authority", {"ca/subscribers", "ca/jwt"}},  // who ordered a step stands in its record
      {"ca/issuance", {"ca/authority"}},
      {"ca/authn", {"ca/http", "ca/identity", "ca/jwt"}},
      {"ca/kubernetes", {"ca/authn"}},
      {"ca/publishing", {"ca/kubernetes", "ca/subscribers"}},
      {"ca/request_signing", {"ca/kubernetes", "ca/issuance"}},
      {"ca/pod_certificates", {"ca/request_signing"}},
      {"ca/signing_requests", {"ca/request_signing"}},
      {"ca/server_secrets", {"ca/publishing", "ca/issuance"}},
      {"ca/rpc/client", {"ca/base", "proto"}},
      {"ca/rpc", {"ca/base", "proto"}},  // the messages of health and reflection
      {"ca/edge", {"ca/rpc", "ca/authn"}},
      {"ca/service", {"ca/edge", "ca/issuance", "ca/agents", "proto"}},
      {"storage", {"ca/issuance"}},
      {"sds", {"ca/edge", "ca/subscribers", "proto"}},
      {"cli/terminal", {"ca/base"}},
      {"cli/config",
       {"ca/authn", "ca/issuance", "ca/publishing", "ca/pod_certificates", "ca/signing_requests", "ca/server_secrets",
        "proto"}},
      {"cli/client", {"cli/terminal", "ca/rpc/client", "ca/issuance", "proto"}},
      {"cli/agent", {"cli/client", "sds"}},
      {"cli/rotation", {"cli/terminal", "ca/service"}},
      {"cli/process", {"sds"}},
      {"cli/server", {"cli/config", "cli/process", "cli/terminal", "ca/service", "storage", "sds"}},
      {"cli/agent_process", {"cli/agent", "cli/config", "cli/process", "ca/http", "ca/service"}},
      {"cli", {"cli/agent_process", "cli/client", "cli/rotation", "cli/server"}},  // the commands
      {"test", {"cli"}},
  };
  return *layers;
}

// Libraries that one folder owns, so that replacing one touches one folder: header prefix -> folders that may name it.
const std::map<std::string, std::vector<std::string>>& OwnedHeaders() {
  static const auto* const owned = new std::map<std::string, std::vector<std::string>>{
      {"nghttp2/", {"ca/rpc", "test"}},
      {"sqlite3.h", {"storage/sqlite", "test"}},
      {"libpq-fe.h", {"storage/postgres", "test"}},
      {"yaml-cpp/", {"cli/config", "test"}},
      {"CLI/", {"cli", "test"}},
      {"prometheus/", {"cli/process", "test"}},
      {"grpcpp/", {"ca/rpc/client", "test"}},
      {"grpc/", {"ca/rpc/client", "test"}},
      {"boost/", {"ca/http", "ca/json"}},
      {"openssl/ssl.h", {"ca/http", "ca/rpc", "cli/client", "test"}},
  };
  return *owned;
}

std::optional<std::string> LayerOf(const std::string& path) {
  for (const Layer& layer : Layers()) {
    if (absl::StartsWith(path, layer.folder + "/")) return layer.folder;
  }
  return std::nullopt;
}

// The layer itself and all that it reaches.
std::set<std::string> Reach(const std::string& folder) {
  std::set<std::string> reached = {folder};
  for (const Layer& layer : Layers()) {
    if (layer.folder != folder) continue;
    for (const std::string& below : layer.below) reached.merge(Reach(below));
  }
  return reached;
}

struct Include {
  std::string file;  // from the root of the tree
  int line = 0;
  std::string target;
  bool quoted = false;
};

std::vector<std::string> SourceFiles() {
  std::vector<std::string> files;
  for (const char* top : {"ca", "storage", "sds", "cli", "test"}) {
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / top)) {
      const std::string extension = entry.path().extension();
      if (extension == ".h" || extension == ".cc") files.push_back(fs::relative(entry.path(), kRoot));
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<Include> Includes(const std::string& file) {
  static const std::regex pattern(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  std::vector<Include> includes;
  std::ifstream in(kRoot / file);
  std::string text;
  for (int line = 1; std::getline(in, text); ++line) {
    std::smatch match;
    if (std::regex_search(text, match, pattern)) includes.push_back({file, line, match[2], match[1] == "\""});
  }
  return includes;
}

// The layer that a quoted include lies in: a file of ours, or a message generated from proto/; nullopt for a library.
std::optional<std::string> TargetLayer(const std::string& target) {
  if (fs::exists(kRoot / target)) return LayerOf(target);
  for (const char* suffix : {".grpc.pb.h", ".pb.h"}) {
    if (!absl::EndsWith(target, suffix)) continue;
    const std::string stem = target.substr(0, target.size() - std::string(suffix).size());
    if (fs::exists(kRoot / "proto" / (stem + ".proto"))) return "proto";
  }
  return std::nullopt;
}

TEST(Layering, EveryIncludePointsDown) {
  int checked = 0;
  for (const std::string& file : SourceFiles()) {
    const auto layer = LayerOf(file);
    ASSERT_TRUE(layer.has_value()) << file << ": its folder is in no layer; add it to the table";
    const std::set<std::string> allowed = Reach(*layer);
    for (const Include& include : Includes(file)) {
      const auto target = TargetLayer(include.target);
      if (!target.has_value()) continue;
      ++checked;
      EXPECT_TRUE(allowed.contains(*target)) << include.file << ":" << include.line << " includes " << include.target
                                             << ", but " << *layer << " may use only " << absl::StrJoin(allowed, ", ");
    }
  }
  EXPECT_GT(checked, 100) << "the reader of #include lines found next to nothing";
}

TEST(Layering, IncludesStartAtTheRoot) {
  // What a quoted include may name besides our files: libraries that are quoted by custom.
  const std::vector<std::string> libraries = {"absl/", "gtest/", "gmock/", "google/protobuf/", "benchmark/"};
  for (const std::string& file : SourceFiles()) {
    for (const Include& include : Includes(file)) {
      if (!include.quoted || TargetLayer(include.target).has_value()) continue;
      EXPECT_TRUE(std::any_of(libraries.begin(), libraries.end(),
                              [&](const std::string& prefix) { return absl::StartsWith(include.target, prefix); }))
          << include.file << ":" << include.line << " includes \"" << include.target
          << "\", which is no file of ours from the root down; libraries go in <>";
    }
  }
}

TEST(Layering, LibrariesStayInTheFolderThatOwnsThem) {
  for (const std::string& file : SourceFiles()) {
    for (const Include& include : Includes(file)) {
      for (const auto& [prefix, owners] : OwnedHeaders()) {
        if (!absl::StartsWith(include.target, prefix) || TargetLayer(include.target).has_value()) continue;
        EXPECT_TRUE(std::any_of(owners.begin(), owners.end(),
                                [&](const std::string& owner) { return absl::StartsWith(file, owner + "/"); }))
            << file << ":" << include.line << " includes " << include.target << ", which only "
            << absl::StrJoin(owners, ", ") << " may";
      }
    }
  }
}

TEST(Layering, GrpcStubsAreForClientsOnly) {
  for (const std::string& file : SourceFiles()) {
    for (const Include& include : Includes(file)) {
      if (!absl::EndsWith(include.target, ".grpc.pb.h")) continue;
      EXPECT_TRUE(absl::StartsWith(file, "cli/") || absl::StartsWith(file, "test/"))
          << file << ":" << include.line << " includes a gRPC stub; servers speak through ca/rpc";
    }
  }
}

TEST(Layering, TestsDoNotLeakIntoTheProduct) {
  for (const std::string& file : SourceFiles()) {
    if (absl::StartsWith(file, "test/")) continue;
    for (const Include& include : Includes(file)) {
      EXPECT_FALSE(absl::StartsWith(include.target, "test/")) << file << ":" << include.line;
    }
  }
}

// A stack trace, a log or a compiler's message that names one of them by its base name leaves no doubt. Twins between
// two folders of ca/ and storage/ are not looked at.
TEST(Names, NoFileOfTheProductSharesItsBaseNameWithAnother) {
  std::map<std::string, std::vector<std::string>> files;
  for (const std::string& file : SourceFiles()) {
    if (!absl::StartsWith(file, "test/")) files[fs::path(file).filename()].push_back(file);
  }
  for (const auto& [name, twins] : files) {
    EXPECT_EQ(twins.size(), 1u) << absl::StrJoin(twins, ", ");
  }
}

// The same moment reads the same in every answer. A log's line has milliseconds, and a folder's name that has a time in
// it is nobody's reading.
TEST(Names, CaStorageAndTheCommandWriteTimesByUtcTextAlone) {
  const std::set<std::string> own_forms = {"ca/base/utc_text.cc", "ca/base/log.cc", "cli/client/credential_files.cc"};
  for (const std::string& file : SourceFiles()) {
    const bool looked_at = absl::StartsWith(file, "cli/") || absl::StartsWith(file, "ca/") ||
                           absl::StartsWith(file, "storage/") || absl::StartsWith(file, "sds/");
    if (!looked_at || own_forms.contains(file)) continue;
    std::ifstream in(kRoot / file);
    std::string text;
    for (int line = 1; std::getline(in, text); ++line) {
      EXPECT_EQ(text.find("FormatTime("), std::string::npos)
          << file << ":" << line << " formats a time of its own; ca/base/utc_text.h has the forms there are";
    }
  }
}

TEST(Headers, GuardIsThePath) {
  for (const std::string& file : SourceFiles()) {
    if (!absl::EndsWith(file, ".h")) continue;
    const std::string guard = absl::StrCat(
        "MESHCA_", absl::AsciiStrToUpper(absl::StrReplaceAll(file, {{"/", "_"}, {".", "_"}, {"-", "_"}})), "_");
    std::ifstream in(kRoot / file);
    std::string line;
    while (std::getline(in, line) && !absl::StartsWith(line, "#")) {
    }
    EXPECT_EQ(line, "#ifndef " + guard) << file;
  }
}

}  // namespace
}  // namespace meshca
