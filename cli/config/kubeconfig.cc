#include "cli/config/kubeconfig.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/file.h"
#include "ca/base/printable.h"
#include "ca/base/secret.h"
#include "ca/base/status.h"
#include "ca/http/client_tls.h"
#include "ca/http/url.h"
#include "cli/config/faults.h"
#include "cli/config/loader.h"
#include "cli/config/yaml_tree.h"

namespace meshca::config {
namespace {

constexpr size_t kNamesShown = 10;

void WipeTree(YamlNode& node) {
  Wipe(node.text);
  for (YamlNode& child : node.children) WipeTree(child);
}

// Keys of a user that hold a way to prove who he is which is not ours, and what to do instead.
struct Refusal {
  const char* key;
  const char* instead;
};
constexpr char kTokenInstead[] =
    "make a service account for meshca and name its token (tokenFile), or a client certificate";
constexpr Refusal kRefusedOfUser[] = {
    {"exec", "meshca runs no program for a credential"},
    {"auth-provider", "meshca has no such provider, and Kubernetes has dropped them"},
    {"username", "Kubernetes no longer takes a user name and password"},
    {"password", "Kubernetes no longer takes a user name and password"},
    {"as", "meshca acts as nobody else"},
    {"as-uid", "meshca acts as nobody else"},
    {"as-groups", "meshca acts as nobody else"},
    {"as-user-extra", "meshca acts as nobody else"},
};

// Walks the tree, notes what is wrong and gathers what the current context says.
class KubeconfigReader {
 public:
  KubeconfigReader(const std::string& path, Faults& faults) : path_(path), folder_(FolderOf(path)), faults_(faults) {}

  kubernetes::ApiServerOptions Read(const YamlNode& root) {
    kubernetes::ApiServerOptions options;
    if (!IsMapping(root, "")) return options;
    const YamlNode* const current = TextOf(root, "", "current-context");
    if (current == nullptr) {
      faults_.Add({}, "current-context", "is not set: run kubectl config use-context NAME on this file");
      return options;
    }
    options.described = absl::StrCat(path_, ", context ", Printable(current->text));
    const YamlNode* const context = FindNamed(root, "contexts", "context", *current);
    if (context == nullptr) return options;
    const YamlNode* const cluster_name = TextOf(*context, "context", "cluster");
    const YamlNode* const user_name = TextOf(*context, "context", "user");
    const YamlNode* const name_space = TextOf(*context, "context", "namespace");
    options.namespace_name = name_space == nullptr ? "default" : name_space->text;
    for (const auto& [named, key] : {std::pair(cluster_name, "cluster"), std::pair(user_name, "user")}) {
      if (named == nullptr) faults_.Add(context->place, "context", absl::StrCat("names no ", key));
    }
    const YamlNode* cluster = nullptr;
    const YamlNode* user = nullptr;
    if (cluster_name != nullptr) cluster = FindNamed(root, "clusters", "cluster", *cluster_name);
    if (user_name != nullptr) user = FindNamed(root, "users", "user", *user_name);
    if (cluster != nullptr) ReadCluster(*cluster, options);
    if (user != nullptr) ReadUser(*user, options);
    if (faults_.empty()) CheckTogether(*user, options);
    return options;
  }

  // A token or a key stands in the file itself.
  bool holds_secret() const { return holds_secret_; }

 private:
  bool IsMapping(const YamlNode& node, absl::string_view key) {
    if (node.kind == YamlNode::Kind::kMapping) return true;
    faults_.Add(node.place, key, absl::StrCat("expects a mapping, got ", KindText(node)));
    return false;
  }

  // The value of `key` in a mapping; null: it has none, or nothing.
  const YamlNode* Find(const YamlNode& mapping, absl::string_view path, absl::string_view key) {
    const YamlNode* found = nullptr;
    for (size_t i = 0; i + 1 < mapping.children.size(); i += 2) {
      if (mapping.children[i].text != key) continue;
      if (found != nullptr) faults_.Add(mapping.children[i].place, Under(path, key), "stands twice");
      found = &mapping.children[i + 1];
    }
    return found == nullptr || found->kind == YamlNode::Kind::kNull ? nullptr : found;
  }
  // The same of a text; null also where it is empty, or a fault.
  const YamlNode* TextOf(const YamlNode& mapping, absl::string_view path, absl::string_view key) {
    const YamlNode* const found = Find(mapping, path, key);
    if (found == nullptr || (found->kind == YamlNode::Kind::kScalar && found->text.empty())) return nullptr;
    if (found->kind == YamlNode::Kind::kScalar) return found;
    faults_.Add(found->place, Under(path, key), absl::StrCat("expects text, got ", KindText(*found)));
    return nullptr;
  }

  // Of `list`, a list of {name: ..., KIND: {...}}, the mapping under KIND of the one that is called `name`.
  const YamlNode* FindNamed(const YamlNode& root, const std::string& list, const std::string& kind,
                            const YamlNode& name) {
    const YamlNode* const items = Find(root, "", list);
    if (items != nullptr && items->kind != YamlNode::Kind::kList) {
      faults_.Add(items->place, list, absl::StrCat("expects a list, got ", KindText(*items)));
      return nullptr;
    }
    std::vector<std::string> names;
    for (size_t i = 0; items != nullptr && i < items->children.size(); ++i) {
      const YamlNode& item = items->children[i];
      if (!IsMapping(item, absl::StrCat(list, "[", i, "]"))) return nullptr;
      const YamlNode* const called = TextOf(item, list, "name");
      if (called == nullptr) continue;
      if (called->text != name.text) {
        if (names.size() < kNamesShown) names.push_back(Printable(called->text));
        continue;
      }
      const YamlNode* const found = Find(item, list, kind);
      if (found != nullptr) return IsMapping(*found, kind) ? found : nullptr;
      faults_.Add(item.place, kind, absl::StrCat("\"", Printable(name.text), "\" says nothing"));
      return nullptr;
    }
    faults_.Add(name.place, "",
                absl::StrCat("no ", kind, " is called \"", Printable(name.text), "\"",
                             names.empty() ? absl::StrCat(": there is none in ", list)
                                           : absl::StrCat("; there are: ", absl::StrJoin(names, ", "))));
    return nullptr;
  }

  void ReadCluster(const YamlNode& cluster, kubernetes::ApiServerOptions& options) {
    const YamlNode* const server = TextOf(cluster, "cluster", "server");
    if (server == nullptr) {
      faults_.Add(cluster.place, "cluster.server", "is missing: https://HOST:PORT of the API server");
    } else if (auto url = http::Url::Parse(server->text); !url.ok()) {
      faults_.Add(server->place, "cluster.server", url.status().message());
    } else {
      options.url = *std::move(url);
      CheckUrl(*server, options.url);
    }
    if (const YamlNode* skip = TextOf(cluster, "cluster", "insecure-skip-tls-verify");
        skip != nullptr && skip->text != "false") {
      faults_.Add(
          skip->place, "cluster.insecure-skip-tls-verify",
          "is refused: anybody could answer in the API server's name and say whose tokens are good; give its CA by "
          "certificate-authority, and the name in its certificate by tls-server-name where the host is another");
    }
    if (const YamlNode* proxy = TextOf(cluster, "cluster", "proxy-url"); proxy != nullptr) {
      faults_.Add(proxy->place, "cluster.proxy-url", "is refused: meshca calls the API server itself, without a proxy");
    }
    if (const YamlNode* name = TextOf(cluster, "cluster", "tls-server-name"); name != nullptr) {
      options.tls.server_name = name->text;
    }
    options.tls.ca = Pem(cluster, "cluster", "certificate-authority");
  }

  void CheckUrl(const YamlNode& server, const http::Url& url) {
    if (url.https || url.host == "localhost" || url.host == "::1" || absl::StartsWith(url.host, "127.")) return;
    faults_.Add(server.place, "cluster.server",
                "is http to another host: tokens would go over the network for all to read; use https");
  }

  void ReadUser(const YamlNode& user, kubernetes::ApiServerOptions& options) {
    for (const Refusal& refused : kRefusedOfUser) {
      const YamlNode* const found = Find(user, "user", refused.key);
      if (found == nullptr) continue;
      faults_.Add(found->place, Under("user", refused.key),
                  absl::StrCat("is refused", NameOfPlugin(*found), ": ", refused.instead, "; ", kTokenInstead));
    }
    const YamlNode* const token = TextOf(user, "user", "token");
    const YamlNode* const token_file = TextOf(user, "user", "tokenFile");
    if (token != nullptr) holds_secret_ = true;
    if (token_file != nullptr) {
      options.token.file = InFolder(token_file->text);
    } else if (token != nullptr) {
      options.token.bytes = std::make_shared<const SecretBytes>(SecretBytes::CopyOf(token->text));
    }
    if (TextOf(user, "user", "client-key-data") != nullptr) holds_secret_ = true;
    options.tls.certificate = Pem(user, "user", "client-certificate");
    options.tls.key = Pem(user, "user", "client-key");
    if (options.tls.certificate.empty() != options.tls.key.empty()) {
      faults_.Add(user.place, "user", "client-certificate and client-key belong together: one of them is missing");
    }
  }

  // ", which names PROGRAM": of an exec plugin or an auth provider.
  std::string NameOfPlugin(const YamlNode& node) {
    if (node.kind != YamlNode::Kind::kMapping) return "";
    const YamlNode* name = TextOf(node, "user", "command");
    if (name == nullptr) name = TextOf(node, "user", "name");
    return name == nullptr ? "" : absl::StrCat(" (", Printable(name->text), ")");
  }

  void CheckTogether(const YamlNode& user, const kubernetes::ApiServerOptions& options) {
    if (options.url.https && options.token.empty() && options.tls.certificate.empty()) {
      faults_.Add(user.place, "user", absl::StrCat("has neither a token nor a client certificate: ", kTokenInstead));
    }
  }

  // The PEM under `key`-data, or the file under `key`.
  http::PemSource Pem(const YamlNode& mapping, absl::string_view path, const std::string& key) {
    http::PemSource source;
    const YamlNode* const file = TextOf(mapping, path, key);
    const YamlNode* const data = TextOf(mapping, path, key + "-data");
    if (data != nullptr) {
      std::string bytes;
      if (!absl::Base64Unescape(data->text, &bytes))
        faults_.Add(data->place, Under(path, key + "-data"), "is no base64");
      source.bytes = std::make_shared<const SecretBytes>(std::move(bytes));
    } else if (file != nullptr) {
      source.file = InFolder(file->text);
    }
    return source;
  }

  std::string InFolder(const std::string& file) const {
    return absl::StartsWith(file, "/") ? file : absl::StrCat(folder_, "/", file);
  }
  static std::string Under(absl::string_view path, absl::string_view key) {
    return absl::StrCat(path, path.empty() ? "" : ".", key);
  }

  const std::string& path_;
  const std::string folder_;
  Faults& faults_;
  bool holds_secret_ = false;
};

}  // namespace

absl::StatusOr<kubernetes::ApiServerOptions> ReadKubeconfig(const std::string& path) {
  MESHCA_ASSIGN_OR_RETURN(std::string text, ReadFile(path, kFileBytesMax, FileSecrecy::kPublic));
  Faults faults(path);
  YamlNode root = ParseYaml(text, faults);
  Wipe(text);
  KubeconfigReader reader(path, faults);
  kubernetes::ApiServerOptions options;
  if (faults.empty()) options = reader.Read(root);
  WipeTree(root);
  MESHCA_RETURN_IF_ERROR(faults.ToStatus());
  if (reader.holds_secret()) {
    // Only now is it known that others must not read the file.
    MESHCA_ASSIGN_OR_RETURN(std::string again, ReadFile(path, kFileBytesMax, FileSecrecy::kSecret));
    Wipe(again);
  }
  const absl::Status good = http::CheckClientTls(options.tls);
  if (!good.ok()) return WithReason(Annotate(good, path), "CONFIG_INVALID");
  return options;
}

}  // namespace meshca::config
