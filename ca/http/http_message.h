// The parts of an HTTP message, as the client and the server show them.
#ifndef MESHCA_CA_HTTP_HTTP_MESSAGE_H_
#define MESHCA_CA_HTTP_HTTP_MESSAGE_H_

#include <cstddef>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace meshca::http {

// The header fields of a message, in the order in which they came. A value.
class Headers {
 public:
  struct Field {
    std::string name;
    std::string value;
  };

  Headers() = default;
  Headers(std::initializer_list<Field> fields) : fields_(fields) {}

  void Add(absl::string_view name, absl::string_view value) {
    fields_.push_back({std::string(name), std::string(value)});
  }
  // The value of the first field of that name, in whatever case it is written; null: there is none.
  const std::string* Find(absl::string_view name) const {
    for (const Field& field : fields_) {
      if (absl::EqualsIgnoreCase(field.name, name)) return &field.value;
    }
    return nullptr;
  }
  std::vector<Field>::const_iterator begin() const { return fields_.begin(); }
  std::vector<Field>::const_iterator end() const { return fields_.end(); }

 private:
  std::vector<Field> fields_;
};

// What a server is asked.
struct Request {
  std::string method;  // as it was written: methods are case-sensitive
  std::string target;  // as it was written: "/metrics?name=x", or a whole URL
  std::string path;    // of the target, without query; begins with '/'
  Headers headers;
  std::string body;
  std::string peer;  // "127.0.0.1:40123"
};

// What a client is told.
struct Response {
  int status = 0;
  Headers headers;
  std::string body;
};

}  // namespace meshca::http

#endif  // MESHCA_CA_HTTP_HTTP_MESSAGE_H_
