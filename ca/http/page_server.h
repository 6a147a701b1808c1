// Pages that are read and change nothing: probes, metrics, a status page.
#ifndef MESHCA_CA_HTTP_PAGE_SERVER_H_
#define MESHCA_CA_HTTP_PAGE_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/http/http_server.h"

namespace meshca::http {

struct Page {
  std::string path;  // "/livez"
  std::function<Answer()> make;
  // False: made on the thread that serves every connection, so it must not wait for anything. True: made on a thread of
  // its own, once for all who wait, so that neither a slow database nor many scrapers keep a probe from its answer.
  bool may_block = false;
};

struct PageServerOptions {
  ServerOptions server;
  absl::Duration blocking_gap = absl::Milliseconds(100);  // between the beginnings of two runs of one blocking page
};

// Serves GET and HEAD of `pages`, with Server's bounds and two more: one thread for all pages that may block, and one
// body a page however many read it. A body that a client sends is not read.
class PageServer {
 public:
  // Binds and serves. Pages are made until the server ends. Errors: Server::Start's.
  static absl::StatusOr<std::unique_ptr<PageServer>> Start(const std::string& address, std::vector<Page> pages,
                                                           PageServerOptions options = {});
  // Closes everything at once and waits for a page that is being made.
  ~PageServer();

  // "127.0.0.1:15014": with the real port.
  const std::string& address() const;

 private:
  class Pages;
  PageServer(std::unique_ptr<Pages> pages, std::unique_ptr<Server> server);

  const std::unique_ptr<Pages> pages_;
  const std::unique_ptr<Server> server_;
};

}  // namespace meshca::http

#endif  // MESHCA_CA_HTTP_PAGE_SERVER_H_
