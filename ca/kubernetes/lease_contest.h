// The contest for one Lease, as rules: what is known of it, whether this server holds it, and what it does next.
//
// No clock of another machine is believed. Whoever waits measures by his own boot clock how long the Lease has not
// changed, and takes it after its duration; the API server lets a write through only where nobody has written since.
// Whoever holds it stops beginning writes earlier: a `deadline` after the renewal that went through last was begun.
// What it began by then has ended (kLeadersWriteMax) before anybody can have taken the Lease.
#ifndef MESHCA_CA_KUBERNETES_LEASE_CONTEST_H_
#define MESHCA_CA_KUBERNETES_LEASE_CONTEST_H_

#include <string>

#include "absl/time/time.h"
#include "ca/kubernetes/leadership.h"
#include "ca/kubernetes/lease_record.h"

namespace meshca::kubernetes {

struct LeaseTerms {
  // Of this server. One that comes after it by the same name takes the Lease at once: so the name belongs to what a
  // second process cannot have while the first one lives.
  std::string identity;
  std::string process;  // LeaseRecord::process, of this one
  absl::Duration duration = absl::Seconds(20);
  absl::Duration deadline = absl::Seconds(10);
  absl::Duration renew_every = absl::Seconds(3);
  // How often somebody else's is looked at, and what failed is tried again.
  absl::Duration look_every = absl::Seconds(1);
  // Another's Lease is not believed to last longer without a change, whatever it says.
  absl::Duration duration_max = absl::Minutes(5);
};

// Times are since boot, but for `wall`, which is only written down. A value with one owner: no lock, no clock.
class LeaseContest {
 public:
  explicit LeaseContest(LeaseTerms terms) : terms_(std::move(terms)) {}

  // What to do at `at`: look, or write what ToTake says.
  struct Step {
    bool write = false;
    absl::Duration at;
  };
  Step Next(absl::Duration now) const;
  // Ours, renewed or taken from now on.
  LeaseRecord ToTake(absl::Time wall) const;
  // Ours, given back.
  LeaseRecord ToRelease(absl::Time wall) const;

  // What came of a step. It was read at `now`; without a resource_version: there is none.
  void Seen(const LeaseRecord& record, absl::Duration now);
  // The write that was begun at `begun` went through, and made it `record`.
  void Taken(const LeaseRecord& record, absl::Duration begun, absl::Duration now);
  // It is not known what stands there: somebody else was first, or no answer came. Looked at again after `wait`.
  void Unknown(absl::Duration wait, absl::Duration now);

  bool Held(absl::Duration now) const { return now < held_until_; }
  // Whether the record that was seen last is this very process's, held or run out.
  bool IsOurs() const { return IsOfIdentity() && record_.process == terms_.process; }
  // Whether it was read last as somebody's who is neither this process nor one before it.
  bool IsAnothers() const { return !record_.holder.empty() && !IsOurs() && !IsOfOneBefore(); }
  // It went while another held it, who may write until then, and is nobody's before; in the past: it did not.
  absl::Duration free_from() const { return free_from_; }
  const LeaseRecord& record() const { return record_; }

 private:
  bool IsOfIdentity() const { return !record_.resource_version.empty() && record_.holder == terms_.identity; }
  // Of a process that was before this one. Once this one has had the Lease, one of the same name that writes it lives,
  // whatever was thought impossible, and is another.
  bool IsOfOneBefore() const { return IsOfIdentity() && !IsOurs() && !has_had_it_; }
  absl::Duration LastsUntil() const;

  LeaseTerms terms_;
  LeaseRecord record_;
  bool is_known_ = false;
  bool look_first_ = true;
  bool has_had_it_ = false;
  absl::Time acquired_ = absl::InfinitePast();            // by this process, as it wrote that last
  absl::Duration changed_at_;                             // it was seen to have changed
  absl::Duration free_from_ = -absl::InfiniteDuration();  // it went while another held it, who writes until then
  absl::Duration next_ = -absl::InfiniteDuration();       // no step before
  absl::Duration held_until_ = -absl::InfiniteDuration();
};

}  // namespace meshca::kubernetes

#endif  // MESHCA_CA_KUBERNETES_LEASE_CONTEST_H_
