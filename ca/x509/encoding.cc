#include "ca/x509/encoding.h"

#include <array>
#include <cstdint>

#include <openssl/evp.h>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/status.h"

namespace meshca {
namespace {

constexpr absl::string_view kBegin = "-----BEGIN ";
constexpr absl::string_view kEnd = "-----END ";
constexpr absl::string_view kDashes = "-----";
constexpr size_t kLineBytes = 48;  // 64 characters of base64

constexpr std::array<int8_t, 256> MakeBase64Values() {
  std::array<int8_t, 256> values = {};
  for (auto& value : values) value = -1;
  const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int i = 0; i < 64; ++i) values[static_cast<uint8_t>(digits[i])] = static_cast<int8_t>(i);
  return values;
}
constexpr std::array<int8_t, 256> kBase64Values = MakeBase64Values();

// Base64 with its padding; white space anywhere. False otherwise.
bool DecodeBase64(absl::string_view text, std::string& out) {
  out.reserve(text.size() / 4 * 3 + 3);
  uint32_t group = 0;
  int count = 0, padding = 0;
  for (const char c : text) {
    if (c == '\n' || c == '\r' || c == ' ' || c == '\t') continue;
    if (c == '=') {
      if (count + ++padding > 4 || count < 2) return false;
      continue;
    }
    const int8_t value = kBase64Values[static_cast<uint8_t>(c)];
    if (value < 0 || padding > 0) return false;
    group = group << 6 | static_cast<uint32_t>(value);
    if (++count < 4) continue;
    const char bytes[] = {static_cast<char>(group >> 16), static_cast<char>(group >> 8), static_cast<char>(group)};
    out.append(bytes, 3);
    group = 0;
    count = 0;
  }
  if (count == 0) return padding == 0;
  if (count + padding != 4) return false;
  group <<= 6 * (4 - count);
  const char bytes[] = {static_cast<char>(group >> 16), static_cast<char>(group >> 8)};
  out.append(bytes, static_cast<size_t>(count - 1));
  return true;
}

absl::Status BlockError(size_t number, absl::string_view what) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat("PEM block ", number, ": ", what)), "PEM_MALFORMED");
}

// Labels come from strangers and end in messages.
std::string Shown(absl::string_view label) { return absl::CHexEscape(label.substr(0, 40)); }

// Takes one block off the front of `rest`, which begins with kBegin.
absl::StatusOr<PemBlock> TakeBlock(absl::string_view& rest, size_t number) {
  rest.remove_prefix(kBegin.size());
  const size_t label_end = rest.find(kDashes);
  const size_t line_end = rest.find('\n');
  if (label_end == absl::string_view::npos || line_end < label_end) return BlockError(number, "BEGIN line has no end");
  PemBlock block;
  block.label = rest.substr(0, label_end);
  rest.remove_prefix(label_end + kDashes.size());
  const size_t body_end = rest.find(kEnd);
  if (body_end == absl::string_view::npos) {
    return BlockError(number, absl::StrCat("no END line for ", Shown(block.label)));
  }
  const absl::string_view body = rest.substr(0, body_end);
  rest.remove_prefix(body_end + kEnd.size());
  if (!absl::StartsWith(rest, block.label) || !absl::StartsWith(rest.substr(block.label.size()), kDashes)) {
    return BlockError(number, absl::StrCat("END line does not name ", Shown(block.label)));
  }
  rest.remove_prefix(block.label.size() + kDashes.size());
  if (absl::StrContains(body, "Proc-Type: 4,ENCRYPTED")) return BlockError(number, "is encrypted with a password");
  std::string bytes;
  if (!DecodeBase64(body, bytes)) return BlockError(number, "is not base64");
  block.der = Der(std::move(bytes));
  return block;
}

}  // namespace

void AppendPem(absl::string_view label, absl::string_view der, std::string& out) {
  out.reserve(out.size() + 2 * label.size() + 40 + der.size() / kLineBytes * 65 + 66);
  absl::StrAppend(&out, kBegin, label, kDashes, "\n");
  std::array<unsigned char, 65> line;
  for (size_t at = 0; at < der.size(); at += kLineBytes) {
    const absl::string_view part = der.substr(at, kLineBytes);
    const int size = EVP_EncodeBlock(line.data(), reinterpret_cast<const unsigned char*>(part.data()),
                                     static_cast<int>(part.size()));
    line[static_cast<size_t>(size)] = '\n';
    out.append(reinterpret_cast<const char*>(line.data()), static_cast<size_t>(size) + 1);
  }
  absl::StrAppend(&out, kEnd, label, kDashes, "\n");
}

Pem PemEncode(absl::string_view label, absl::string_view der) {
  std::string out;
  AppendPem(label, der, out);
  return Pem(std::move(out));
}

absl::StatusOr<std::vector<PemBlock>> PemDecodeBlocks(absl::string_view text) {
  std::vector<PemBlock> blocks;
  for (;;) {
    const size_t begin = text.find(kBegin);
    if (begin == absl::string_view::npos) break;
    text.remove_prefix(begin);
    MESHCA_ASSIGN_OR_RETURN(PemBlock block, TakeBlock(text, blocks.size() + 1));
    blocks.push_back(std::move(block));
  }
  if (blocks.empty()) {
    return WithReason(absl::InvalidArgumentError("no PEM block: no line begins with -----BEGIN"), "PEM_MALFORMED");
  }
  return blocks;
}

absl::StatusOr<std::vector<Der>> PemDecodeAll(absl::string_view text, absl::string_view label) {
  MESHCA_ASSIGN_OR_RETURN(std::vector<PemBlock> blocks, PemDecodeBlocks(text));
  std::vector<Der> out;
  out.reserve(blocks.size());
  for (PemBlock& block : blocks) {
    if (block.label != label) {
      return BlockError(out.size() + 1, absl::StrCat("is a ", Shown(block.label), ", not a ", label));
    }
    out.push_back(std::move(block.der));
  }
  return out;
}

std::string HexLower(absl::string_view bytes) { return absl::BytesToHexString(bytes); }

absl::StatusOr<std::string> HexDecode(absl::string_view text) {
  if (text.size() % 2 != 0) return absl::InvalidArgumentError("hex: an odd number of digits");
  for (const char c : text) {
    if (!absl::ascii_isxdigit(c)) return absl::InvalidArgumentError("hex: a byte that is no hex digit");
  }
  return absl::HexStringToBytes(text);
}

}  // namespace meshca
