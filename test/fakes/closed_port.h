// An address at which nobody answers.
#ifndef MESHCA_TEST_FAKES_CLOSED_PORT_H_
#define MESHCA_TEST_FAKES_CLOSED_PORT_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

#include "ca/base/check.h"
#include "ca/base/tcp_listen.h"
#include "ca/base/unique_fd.h"

namespace meshca {

// Refuses every connection for as long as it lives. The port is held: one that was merely given back may be another
// process's by the time somebody connects to it.
class ClosedPort {
 public:
  ClosedPort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MESHCA_CHECK(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  // "127.0.0.1:41234"
  std::string address() const { return BoundAddress(fd_.get()); }

 private:
  const UniqueFd fd_;
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_CLOSED_PORT_H_
