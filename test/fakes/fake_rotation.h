// A rotation that says what the test wants, and remembers what it was told.
#ifndef MESHCA_TEST_FAKES_FAKE_ROTATION_H_
#define MESHCA_TEST_FAKES_FAKE_ROTATION_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/authority/rotation_control.h"

namespace meshca {

// One thread.
class FakeRotation final : public RotationControl {
 public:
  RotationReport report;
  std::function<RotationReport()> on_report;  // in place of `report`, on the thread that asks
  absl::StatusOr<RotationForecast> forecast = RotationForecast();
  absl::Status answer;              // of every order
  std::vector<std::string> orders;  // "activate force=1 by uid 0 pid 1"
  RotationOptions begun_with;       // of the last Begin

  RotationReport Report() override { return on_report ? on_report() : report; }
  absl::StatusOr<RotationForecast> Forecast() override { return forecast; }
  absl::Status Begin(const RotationOptions& options, const std::string& actor) override {
    begun_with = options;
    return Order("begin", actor);
  }
  absl::Status Activate(bool force, const std::string& actor) override {
    return Order(absl::StrCat("activate force=", force), actor);
  }
  absl::Status Retire(bool force, bool external_confirmed, const std::string& actor) override {
    return Order(absl::StrCat("retire force=", force, " confirmed=", external_confirmed), actor);
  }
  absl::Status Abort(const std::string& actor) override { return Order("abort", actor); }
  absl::Status Rollback(const std::string& actor) override { return Order("rollback", actor); }
  absl::Status Taint(absl::string_view id_prefix, const std::string& actor) override {
    return Order(absl::StrCat("taint ", id_prefix), actor);
  }

 private:
  absl::Status Order(const std::string& what, const std::string& actor) {
    orders.push_back(absl::StrCat(what, " by ", actor));
    return answer;
  }
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_FAKE_ROTATION_H_
