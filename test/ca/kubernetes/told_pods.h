// Pods as an API server's list tells them, for tests.
#ifndef MESHCA_TEST_CA_KUBERNETES_TOLD_PODS_H_
#define MESHCA_TEST_CA_KUBERNETES_TOLD_PODS_H_

#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "ca/kubernetes/picked_fields.h"
#include "ca/kubernetes/pod_directory.h"

namespace meshca::kubernetes {

inline std::string UidOf(int number) { return absl::StrFormat("0b5d2b6e-9c1f-4e55-8a3d-%012x", number); }

struct ToldPod {
  int number = 1;
  std::string namespace_name = "web";
  std::string name = "front-1";
  std::string account = "front";
  std::string node = "node-1";
  std::string phase = "Running";
  std::string deleted = {};
  std::vector<std::pair<std::string, std::string>> labels = {};
  std::string created = {};

  PickedFields Fields() const {
    PickedFields fields(PodDirectory::PodPaths().size());
    const std::string texts[] = {UidOf(number), namespace_name, name, account, node, phase, deleted};
    for (size_t i = 0; i < std::size(texts); ++i) {
      if (!texts[i].empty()) fields.Add(i, "", texts[i]);
    }
    for (const auto& [key, value] : labels) fields.Add(7, key, value);
    if (!created.empty()) fields.Add(8, "", created);
    return fields;
  }
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_TEST_CA_KUBERNETES_TOLD_PODS_H_
