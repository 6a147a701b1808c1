// Which of several servers may write in a cluster.
#ifndef MESHCA_CA_KUBERNETES_LEADERSHIP_H_
#define MESHCA_CA_KUBERNETES_LEADERSHIP_H_

#include <functional>
#include <string>

#include "absl/time/time.h"

namespace meshca::kubernetes {

// A write that was begun while the leadership was held ends within this: the next leader comes later than that.
inline constexpr absl::Duration kLeadersWriteMax = absl::Seconds(10);

// Thread-safe; AddListener is called before the contest begins, by one thread.
class Leadership {
 public:
  virtual ~Leadership() = default;

  // Whether this server may begin a write now. Whoever writes asks before every write, for it ends by itself.
  virtual bool Held() const = 0;
  // Who has it, or why nobody can know, for people: "NAME holds the Lease kube-system/meshca-prod.example". "": Held.
  virtual std::string WhyNot() const = 0;
  // `changed` is called after it was gained or lost, on the leadership's own thread with no lock held. It stays
  // callable until the contest has ended.
  virtual void AddListener(std::function<void()> changed) = 0;
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_LEADERSHIP_H_
