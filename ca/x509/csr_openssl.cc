// OpenSSL's reader: every key type and every encoding OpenSSL takes.
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/base/openssl_ptr.h"
#include "ca/base/status.h"
#include "ca/x509/csr_reader.h"
#include "ca/x509/der.h"
#include "ca/x509/general_names.h"

namespace meshca {
namespace {

using BasicConstraintsPtr = OpenSslPtr<BASIC_CONSTRAINTS, BASIC_CONSTRAINTS_free>;
using BitStringPtr = OpenSslPtr<ASN1_BIT_STRING, ASN1_BIT_STRING_free>;

struct FreeExtensions {
  void operator()(STACK_OF(X509_EXTENSION) * stack) const { sk_X509_EXTENSION_pop_free(stack, X509_EXTENSION_free); }
};
using ExtensionsPtr = std::unique_ptr<STACK_OF(X509_EXTENSION), FreeExtensions>;

absl::Status MalformedCsr(absl::string_view what) {
  OpenSslError("CSR").IgnoreError();
  return WithReason(absl::InvalidArgumentError(absl::StrCat("CSR: ", what)), "CSR_MALFORMED");
}

// KEY_WEAK of a public key is CSR_KEY_WEAK of the request around it.
absl::Status InCsr(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  const absl::Status annotated = Annotate(status, "CSR");
  return reason.empty() ? annotated : WithReason(annotated, absl::StrCat("CSR_", reason));
}

template <typename T>
std::string Encode(int (*i2d)(const T*, unsigned char**), const T* object) {
  unsigned char* raw = nullptr;
  const int size = i2d(object, &raw);
  if (size <= 0) return "";
  std::string out(reinterpret_cast<const char*>(raw), static_cast<size_t>(size));
  OPENSSL_free(raw);
  return out;
}

absl::string_view Text(const ASN1_STRING* value) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)), static_cast<size_t>(ASN1_STRING_length(value))};
}

// Decodes all of `value`; null when it is no T or bytes follow.
template <typename Ptr>
Ptr DecodeWhole(typename Ptr::pointer (*d2i)(typename Ptr::pointer*, const unsigned char**, long),
                const ASN1_STRING* value) {
  const unsigned char* at = ASN1_STRING_get0_data(value);
  const unsigned char* const end = at + ASN1_STRING_length(value);
  Ptr decoded(d2i(nullptr, &at, ASN1_STRING_length(value)));
  return at == end ? std::move(decoded) : nullptr;
}

// The one request for extensions, PKCS#9's or Microsoft's; null for none.
absl::StatusOr<ExtensionsPtr> RequestedExtensions(const X509_REQ* request) {
  X509_ATTRIBUTE* found = nullptr;
  for (const int nid : {NID_ext_req, NID_ms_ext_req}) {
    for (int at = -1; (at = X509_REQ_get_attr_by_NID(request, nid, at)) >= 0;) {
      if (found != nullptr) return MalformedCsr("asks for extensions twice");
      found = X509_REQ_get_attr(request, at);
    }
  }
  if (found == nullptr) return nullptr;
  const ASN1_TYPE* value = X509_ATTRIBUTE_count(found) == 1 ? X509_ATTRIBUTE_get0_type(found, 0) : nullptr;
  if (value == nullptr || value->type != V_ASN1_SEQUENCE) return MalformedCsr("the extension request is no sequence");
  ExtensionsPtr extensions = DecodeWhole<ExtensionsPtr>(d2i_X509_EXTENSIONS, value->value.sequence);
  if (extensions == nullptr) return MalformedCsr("the extension request cannot be read");
  return extensions;
}

absl::string_view OtherKind(int type) {
  switch (type) {
    case GEN_DIRNAME: return "directory name";
    case GEN_RID: return "registered ID";
    default: return "other name";
  }
}

}  // namespace

// Fills the names of a Csr from OpenSSL's structures.
class OpenSslCsrNames {
 public:
  explicit OpenSslCsrNames(Csr& csr) : csr_(csr) {}

  absl::Status ReadSubject(const X509_NAME* subject) {
    int last = -1;
    for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) last = at;
    if (last < 0) return absl::OkStatus();
    unsigned char* utf8 = nullptr;
    const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
    if (size < 0) return MalformedCsr("the common name cannot be read");
    CsrReader::CommonName(csr_) =
        absl::Utf8SafeCHexEscape(absl::string_view(reinterpret_cast<char*>(utf8), static_cast<size_t>(size)));
    OPENSSL_free(utf8);
    return absl::OkStatus();
  }

  absl::Status ReadExtensions(const STACK_OF(X509_EXTENSION) * extensions) {
    bool names = false, constraints = false, usage = false;
    for (int i = 0; i < sk_X509_EXTENSION_num(extensions); ++i) {
      X509_EXTENSION* extension = sk_X509_EXTENSION_value(extensions, i);
      const ASN1_OCTET_STRING* value = X509_EXTENSION_get_data(extension);
      switch (OBJ_obj2nid(X509_EXTENSION_get_object(extension))) {
        case NID_subject_alt_name:
          if (std::exchange(names, true)) return MalformedCsr("subjectAltName is there twice");
          MESHCA_RETURN_IF_ERROR(ReadNames(value));
          break;
        case NID_basic_constraints:
          if (std::exchange(constraints, true)) return MalformedCsr("basicConstraints is there twice");
          MESHCA_RETURN_IF_ERROR(ReadConstraints(value));
          break;
        case NID_key_usage:
          if (std::exchange(usage, true)) return MalformedCsr("keyUsage is there twice");
          MESHCA_RETURN_IF_ERROR(ReadUsage(value));
          break;
        default: break;
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status ReadNames(const ASN1_OCTET_STRING* value) {
    const GeneralNamesPtr names = DecodeWhole<GeneralNamesPtr>(d2i_GENERAL_NAMES, value);
    if (names == nullptr) return MalformedCsr("subjectAltName cannot be read");
    for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
      MESHCA_RETURN_IF_ERROR(ReadName(sk_GENERAL_NAME_value(names.get(), i)));
    }
    return absl::OkStatus();
  }

  absl::Status ReadName(const GENERAL_NAME* name) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(name, &type);
    if (type != GEN_URI && type != GEN_DNS && type != GEN_EMAIL && type != GEN_IPADD) {
      CsrReader::OtherNames(csr_).emplace_back(OtherKind(type));
      return absl::OkStatus();
    }
    const absl::string_view text = Text(static_cast<const ASN1_STRING*>(value));
    if (type == GEN_IPADD) {
      const std::string address = IpAddressText(text);
      if (address.empty()) return MalformedCsr("an IP address has neither 4 nor 16 bytes");
      CsrReader::OtherNames(csr_).push_back(absl::StrCat("IP:", address));
      return absl::OkStatus();
    }
    // A NUL inside a name has fooled many a reader: no name with such bytes goes any further.
    if (!der::IsPrintableAscii(text)) return MalformedCsr("a name has a byte outside printable ASCII");
    if (type == GEN_URI) CsrReader::UriNames(csr_).emplace_back(text);
    if (type == GEN_DNS) CsrReader::DnsNames(csr_).emplace_back(text);
    if (type == GEN_EMAIL) CsrReader::OtherNames(csr_).push_back(absl::StrCat("email:", text));
    return absl::OkStatus();
  }

  absl::Status ReadConstraints(const ASN1_OCTET_STRING* value) {
    const BasicConstraintsPtr constraints = DecodeWhole<BasicConstraintsPtr>(d2i_BASIC_CONSTRAINTS, value);
    if (constraints == nullptr) return MalformedCsr("basicConstraints cannot be read");
    if (constraints->ca != 0) CsrReader::AsksForCa(csr_) = true;
    return absl::OkStatus();
  }

  absl::Status ReadUsage(const ASN1_OCTET_STRING* value) {
    const BitStringPtr bits = DecodeWhole<BitStringPtr>(d2i_ASN1_BIT_STRING, value);
    if (bits == nullptr) return MalformedCsr("keyUsage cannot be read");
    // Bit 5 is keyCertSign, bit 6 cRLSign.
    if (ASN1_BIT_STRING_get_bit(bits.get(), 5) == 1 || ASN1_BIT_STRING_get_bit(bits.get(), 6) == 1) {
      CsrReader::AsksForCa(csr_) = true;
    }
    return absl::OkStatus();
  }

  Csr& csr_;
};

absl::StatusOr<Csr> CsrReader::ByOpenSsl(absl::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* const end = at + der.size();
  const X509ReqPtr request(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  if (request == nullptr) return MalformedCsr("is truncated or not a PKCS#10 request");
  if (at != end) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat("CSR: ", end - at, " bytes follow the request")),
                      "CSR_TRAILING_DATA");
  }
  Csr csr;
  const std::string spki = Encode(i2d_X509_PUBKEY, X509_REQ_get_X509_PUBKEY(request.get()));
  absl::StatusOr<PublicKey> key = PublicKey::FromSpkiByOpenSsl(spki);
  if (!key.ok()) return InCsr(key.status());
  csr.public_key_ = *std::move(key);

  const X509_ALGOR* algorithm = nullptr;
  X509_REQ_get0_signature(request.get(), nullptr, &algorithm);
  MESHCA_RETURN_IF_ERROR(InCsr(csr.public_key_.AcceptsAlgorithm(Encode(i2d_X509_ALGOR, algorithm))));
  if (X509_REQ_verify(request.get(), csr.public_key_.evp()) != 1) {
    OpenSslError("X509_REQ_verify").IgnoreError();
    return WithReason(absl::InvalidArgumentError("CSR: signature does not fit the key"), "CSR_SIGNATURE_INVALID");
  }

  OpenSslCsrNames names(csr);
  MESHCA_RETURN_IF_ERROR(names.ReadSubject(X509_REQ_get_subject_name(request.get())));
  MESHCA_ASSIGN_OR_RETURN(const ExtensionsPtr extensions, RequestedExtensions(request.get()));
  if (extensions != nullptr) MESHCA_RETURN_IF_ERROR(names.ReadExtensions(extensions.get()));
  return csr;
}

}  // namespace meshca
