// A leadership that a test gives and takes.
#ifndef MESHCA_TEST_CA_KUBERNETES_FAKE_LEADERSHIP_H_
#define MESHCA_TEST_CA_KUBERNETES_FAKE_LEADERSHIP_H_

#include <atomic>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ca/kubernetes/leadership.h"

namespace meshca::kubernetes {

// Another's until told. Thread-safe, as Leadership is.
class FakeLeadership final : public Leadership {
 public:
  bool Held() const override { return held_; }
  std::string WhyNot() const override { return held_ ? "" : "another holds the Lease kube-system/meshca-a.test"; }
  void AddListener(std::function<void()> changed) override { listeners_.push_back(std::move(changed)); }

  void Set(bool held) {
    held_ = held;
    for (const std::function<void()>& changed : listeners_) changed();
  }

 private:
  std::atomic<bool> held_ = false;
  std::vector<std::function<void()>> listeners_;
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_TEST_CA_KUBERNETES_FAKE_LEADERSHIP_H_
