#include "ca/x509/general_names.h"

#include <arpa/inet.h>

#include <array>

#include "ca/x509/der.h"

namespace meshca {

bool ReadGeneralNames(absl::string_view value, GeneralNames& out) {
  der::Reader outer(value);
  absl::string_view content;
  if (!outer.Read(der::kSequence, content) || !outer.empty() || content.empty()) return false;
  der::Reader names(content);
  while (!names.empty()) {
    der::Element name;
    if (!names.Next(name)) return false;
    switch (name.tag) {
      case der::Context(6):
        if (!der::IsPrintableAscii(name.content)) return false;
        out.uris.emplace_back(name.content);
        break;
      case der::Context(2):
        if (!der::IsPrintableAscii(name.content)) return false;
        out.dns_names.emplace_back(name.content);
        break;
      case der::Context(7): {
        std::string text = IpAddressText(name.content);
        if (text.empty()) return false;
        out.ip_addresses.push_back(std::move(text));
        break;
      }
      default:
        if ((name.tag & 0xc0) != 0x80) return false;
        out.others = true;
    }
  }
  return true;
}

std::string IpAddressText(absl::string_view bytes) {
  if (bytes.size() != 4 && bytes.size() != 16) return "";
  std::array<char, INET6_ADDRSTRLEN> text;
  const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
  return inet_ntop(family, bytes.data(), text.data(), text.size()) == nullptr ? "" : text.data();
}

std::string IpAddressBytes(absl::string_view text) {
  std::array<char, 16> bytes;
  const std::string terminated(text);
  if (inet_pton(AF_INET, terminated.c_str(), bytes.data()) == 1) return std::string(bytes.data(), 4);
  if (inet_pton(AF_INET6, terminated.c_str(), bytes.data()) == 1) return std::string(bytes.data(), 16);
  return "";
}

}  // namespace meshca
