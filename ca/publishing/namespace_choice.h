// In which namespaces an object is to stand.
#ifndef MESHCA_CA_PUBLISHING_NAMESPACE_CHOICE_H_
#define MESHCA_CA_PUBLISHING_NAMESPACE_CHOICE_H_

#include <set>
#include <string>
#include <utility>

namespace meshca {

class NamespaceChoice {
 public:
  // All that are in `only` (empty: all there are) and not in `except`.
  NamespaceChoice(std::set<std::string> only, std::set<std::string> except)
      : only_(std::move(only)), except_(std::move(except)) {}

  bool Has(const std::string& name) const { return (only_.empty() || only_.contains(name)) && !except_.contains(name); }

 private:
  std::set<std::string> only_;
  std::set<std::string> except_;
};

}  // namespace meshca

#endif  // MESHCA_CA_PUBLISHING_NAMESPACE_CHOICE_H_
