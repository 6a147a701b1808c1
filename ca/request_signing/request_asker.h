// Who made a request for a certificate, for sharing among them.
#ifndef MESHCA_CA_REQUEST_SIGNING_REQUEST_ASKER_H_
#define MESHCA_CA_REQUEST_SIGNING_REQUEST_ASKER_H_

#include <string>

namespace meshca {

// Turns are nested by it: parties share with one another, and what a party gets is shared among its own.
struct RequestAsker {
  // Whom the API server, or the admission policy, vouches for, and of which nobody makes as many as he likes: "node
  // web-1", "namespace web" (of service accounts), "user jane".
  std::string party;
  // For a node: the namespace of the pod that it asks for. The party's own word.
  std::string namespace_name = {};
  // The service account in the namespace, of which whoever may make one makes thousands.
  std::string account = {};
};

}  // namespace meshca

#endif  // MESHCA_CA_REQUEST_SIGNING_REQUEST_ASKER_H_
