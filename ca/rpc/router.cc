#include "ca/rpc/router.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "ca/base/check.h"

namespace meshca::rpc {
namespace {

// "/package.Service/Method" -> "package.Service"; "" when `path` has another form.
absl::string_view ServiceOf(absl::string_view path) {
  if (path.empty() || path[0] != '/') return {};
  const size_t slash = path.find('/', 1);
  if (slash == absl::string_view::npos || slash + 1 == path.size()) return {};
  return path.substr(1, slash - 1);
}

}  // namespace

Router::Method& Router::Add(absl::string_view path) {
  MESHCA_CHECK(!ServiceOf(path).empty());
  MESHCA_CHECK(!by_path_.contains(path));
  auto method = std::make_unique<Method>();
  method->path = std::string(path);
  method->index = methods_.size();
  by_path_.emplace(method->path, method.get());
  methods_.push_back(std::move(method));
  return *methods_.back();
}

void Router::AddUnary(absl::string_view path, UnaryHandler handler, UnaryOptions options) {
  Method& method = Add(path);
  method.unary = std::move(handler);
  method.message_bytes_max = options.request_bytes_max;
}

void Router::AddStream(absl::string_view path, StreamFactory factory, StreamOptions options) {
  Method& method = Add(path);
  method.stream = std::move(factory);
  method.message_bytes_max = options.message_bytes_max;
  method.queue_messages_max = options.queue_messages_max;
  method.queue_bytes_max = options.queue_bytes_max;
}

const Router::Method* Router::Find(absl::string_view path) const {
  auto found = by_path_.find(path);
  return found == by_path_.end() ? nullptr : found->second;
}

bool Router::HasService(absl::string_view service) const {
  return std::any_of(methods_.begin(), methods_.end(),
                     [service](const auto& method) { return ServiceOf(method->path) == service; });
}

std::vector<std::string> Router::services() const {
  std::vector<std::string> names;
  for (const auto& method : methods_) names.emplace_back(ServiceOf(method->path));
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace meshca::rpc
