// Rotations as the server would describe them.
#ifndef MESHCA_TEST_CLI_ROTATION_ROTATION_MESSAGES_H_
#define MESHCA_TEST_CLI_ROTATION_ROTATION_MESSAGES_H_

#include <string>

#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {

// 2026-01-02 03:04:05 UTC.
inline constexpr int64_t kNow = 1767323045;

inline void AddRoot(const std::string& id, const std::string& state, uint64_t live,
                    meshca::admin::v1::RotationStatus& status) {
  meshca::admin::v1::Authority& root = *status.add_roots();
  root.set_id(id);
  root.set_role("root");
  root.set_state(state);
  root.set_live_certificates(live);
  root.mutable_not_after()->set_seconds(kNow + 86400);
  root.set_subject("CN=root " + id);
}

// Number 3, ten minutes old, four minutes in its step.
inline meshca::admin::v1::RotationStatus RunningRotation(const std::string& step) {
  meshca::admin::v1::RotationStatus status;
  status.set_step(step);
  status.set_number(3);
  status.set_running(true);
  status.set_old_root_id("old-root");
  status.set_new_root_id("new-root");
  status.set_automatic(true);
  status.set_actor("uid 0 pid 1");
  status.mutable_started_at()->set_seconds(kNow - 600);
  status.mutable_step_at()->set_seconds(kNow - 240);
  status.mutable_now()->set_seconds(kNow);
  status.mutable_as_of()->set_seconds(kNow - 1);
  status.set_bundle_sequence(4);
  status.set_subscribers(40);
  AddRoot("old-root", "active", 12, status);
  AddRoot("new-root", "prepared", 0, status);
  return status;
}

// One who is behind for three minutes.
inline meshca::admin::v1::Laggard Behind(const std::string& reason, const std::string& instance) {
  meshca::admin::v1::Laggard laggard;
  laggard.set_reason(reason);
  laggard.set_spiffe_id("spiffe://a.test/web");
  laggard.set_node("n1");
  laggard.set_instance(instance);
  laggard.mutable_since()->set_seconds(kNow - 180);
  return laggard;
}

}  // namespace meshca::cli

#endif  // MESHCA_TEST_CLI_ROTATION_ROTATION_MESSAGES_H_
