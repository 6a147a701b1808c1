// Somebody's request for a certificate, as an object of the API server.
#ifndef MESHCA_CA_REQUEST_SIGNING_API_REQUEST_H_
#define MESHCA_CA_REQUEST_SIGNING_API_REQUEST_H_

#include <memory>
#include <string>

#include "ca/request_signing/request_asker.h"

namespace meshca {

// What requests of every kind have. Each kind adds its own.
struct ApiRequest {
  ApiRequest() = default;
  ApiRequest(const ApiRequest&) = default;
  ApiRequest& operator=(const ApiRequest&) = default;
  ApiRequest(ApiRequest&&) = default;
  ApiRequest& operator=(ApiRequest&&) = default;
  virtual ~ApiRequest() = default;

  // "PodCertificateRequest web/req-abc of pod web-1": for people.
  virtual std::string Text() const = 0;

  std::string namespace_name;  // "": requests of the kind are in no namespace
  std::string name;
  std::string uid;
  std::string resource_version;
  std::string signer_name;
  RequestAsker asker;        // who made it
  bool is_answered = false;  // nothing changes it any more
};

using ApiRequestPtr = std::shared_ptr<const ApiRequest>;

}  // namespace meshca

#endif  // MESHCA_CA_REQUEST_SIGNING_API_REQUEST_H_
