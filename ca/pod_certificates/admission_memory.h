// What was seen of the admission policy, kept for the next process.
#ifndef MESHCA_CA_POD_CERTIFICATES_ADMISSION_MEMORY_H_
#define MESHCA_CA_POD_CERTIFICATES_ADMISSION_MEMORY_H_

#include <string>

#include "absl/time/time.h"

namespace meshca {

// Without it whoever may write the policy could weaken it while no process looks, and have what was made meanwhile
// signed after the next start: an object does not say when it was edited but in words that its editor can change. A
// file that is lost or damaged lets nobody in: requests from before the start are then not signed where the policy was
// ever edited. One thread at a time.
class AdmissionMemory {
 public:
  struct Seen {
    std::string edition;                              // Admission's; "": nothing was seen
    absl::Time guarded_since = absl::InfinitePast();  // AdmissionWatch's
    bool operator==(const Seen&) const = default;
  };

  // Reads `file`; "": nothing is kept beyond this process. A file that cannot be read is told to the log.
  explicit AdmissionMemory(std::string file);

  const Seen& kept() const { return kept_; }
  // Writes the file where that is another one. What cannot be written is told to the log once, and tried again.
  void Keep(const Seen& seen);

 private:
  const std::string file_;
  Seen kept_;
  bool warned_ = false;
};

}  // namespace meshca

#endif  // MESHCA_CA_POD_CERTIFICATES_ADMISSION_MEMORY_H_
