// What the admin service asks of SDS.
#ifndef MESHCA_CLI_SERVER_SDS_SUBSCRIBERS_H_
#define MESHCA_CLI_SERVER_SDS_SUBSCRIBERS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ca/service/admin_context.h"
#include "sds/sds_service.h"

namespace meshca::cli {

// Hands each question on: ca/service and sds/ do not know of each other. Thread-safe.
class SdsSubscribers final : public LiveSubscribers {
 public:
  // `service` outlives it.
  explicit SdsSubscribers(sds::SdsService& service) : service_(service) {}

  absl::StatusOr<std::vector<SubscriberRecord>> List() override;
  std::vector<std::string> Renew(const Wanted& wanted) override;
  absl::StatusOr<Evicted> Evict(const std::function<bool(const SubscriberRecord&)>& chosen) override;
  uint64_t DropRevoked() override;

 private:
  sds::SdsService& service_;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_SERVER_SDS_SUBSCRIBERS_H_
