#include "ca/base/openssl_ptr.h"

#include <string>

#include <openssl/err.h>

#include "absl/strings/str_cat.h"

namespace meshca {

absl::Status OpenSslError(absl::string_view call) {
  std::string message(call);
  absl::string_view separator = ": ";
  char text[256];
  while (unsigned long error = ERR_get_error()) {
    ERR_error_string_n(error, text, sizeof text);
    absl::StrAppend(&message, separator, text);
    separator = "; ";
  }
  return absl::InternalError(message);
}

}  // namespace meshca
