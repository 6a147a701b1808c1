#include "test/bench/dial.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ca/base/status.h"

namespace meshca::bench {
namespace {

constexpr absl::string_view kUnixPrefix = "unix:";
constexpr std::array<unsigned char, 3> kAlpnH2 = {2, 'h', '2'};

using AddressesPtr = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

}  // namespace

absl::StatusOr<Dialler> Dialler::Create(DialOptions options) {
  Dialler dialler(std::move(options));
  MESHCA_RETURN_IF_ERROR(dialler.Prepare());
  return dialler;
}

bool Dialler::unix_socket() const { return absl::StartsWith(options_.address, kUnixPrefix); }

absl::Status Dialler::Prepare() {
  if (options_.certificate_file.empty() != options_.key_file.empty()) {
    return absl::InvalidArgumentError("a client certificate and its key belong together: give --cert and --key");
  }
  if (unix_socket()) {
    authority_ = "localhost";
  } else {
    const size_t colon = options_.address.rfind(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == options_.address.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("address \"", options_.address, "\" is neither unix:PATH nor HOST:PORT"));
    }
    host_ = options_.address.substr(0, colon);
    port_ = options_.address.substr(colon + 1);
    if (host_.size() > 2 && host_.front() == '[' && host_.back() == ']') host_ = host_.substr(1, host_.size() - 2);
    authority_ = options_.address;
  }
  if (!options_.root_file.empty()) return PrepareTls();
  if (options_.certificate_file.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("a client certificate needs TLS: give the server's root with --root");
}

absl::Status Dialler::PrepareTls() {
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (context_ == nullptr) return OpenSslError("SSL_CTX_new");
  SSL_CTX_set_alpn_protos(context_.get(), kAlpnH2.data(), kAlpnH2.size());
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
  // Ten thousand connections at rest need no buffers.
  SSL_CTX_set_mode(context_.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_OFF);
  if (SSL_CTX_load_verify_locations(context_.get(), options_.root_file.c_str(), nullptr) != 1) {
    return OpenSslError(absl::StrCat("SSL_CTX_load_verify_locations ", options_.root_file));
  }
  if (options_.certificate_file.empty()) return absl::OkStatus();
  if (SSL_CTX_use_certificate_chain_file(context_.get(), options_.certificate_file.c_str()) != 1) {
    return OpenSslError(absl::StrCat("SSL_CTX_use_certificate_chain_file ", options_.certificate_file));
  }
  if (SSL_CTX_use_PrivateKey_file(context_.get(), options_.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return OpenSslError(absl::StrCat("SSL_CTX_use_PrivateKey_file ", options_.key_file));
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> Dialler::Connect() const { return unix_socket() ? ConnectUnix() : ConnectTcp(); }

absl::StatusOr<UniqueFd> Dialler::ConnectUnix() const {
  // unix:PATH and unix:///PATH name the same.
  absl::string_view path = absl::StripPrefix(options_.address, kUnixPrefix);
  if (absl::StartsWith(path, "//")) path.remove_prefix(2);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("socket path \"", path, "\" must have 1 to ", sizeof(address.sun_path) - 1, " bytes"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("connect ", options_.address));
  }
  return fd;
}

absl::StatusOr<UniqueFd> Dialler::ConnectTcp() const {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host_.c_str(), port_.c_str(), &hints, &found); error != 0) {
    return absl::UnavailableError(absl::StrCat("address \"", options_.address, "\": ", gai_strerror(error)));
  }
  const AddressesPtr addresses(found, &freeaddrinfo);
  absl::Status failure;
  for (const addrinfo* one = addresses.get(); one != nullptr; one = one->ai_next) {
    UniqueFd fd(socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return ErrnoStatus(errno, "socket");
    if (connect(fd.get(), one->ai_addr, one->ai_addrlen) == 0) {
      const int on = 1;
      setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      return fd;
    }
    failure = ErrnoStatus(errno, absl::StrCat("connect ", options_.address));
  }
  return failure;
}

absl::StatusOr<Dialled> Dialler::Dial() const {
  Dialled dialled;
  MESHCA_ASSIGN_OR_RETURN(dialled.socket, Connect());
  if (context_ != nullptr) {
    dialled.ssl.reset(SSL_new(context_.get()));
    if (dialled.ssl == nullptr || SSL_set_fd(dialled.ssl.get(), dialled.socket.get()) != 1) return OpenSslError("SSL");
    if (SSL_connect(dialled.ssl.get()) != 1) return OpenSslError(absl::StrCat("TLS handshake with ", options_.address));
  }
  if (fcntl(dialled.socket.get(), F_SETFL, O_NONBLOCK) != 0) return ErrnoStatus(errno, "fcntl O_NONBLOCK");
  return dialled;
}

absl::Status AllowDescriptors(size_t descriptors) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return ErrnoStatus(errno, "getrlimit");
  if (limit.rlim_cur >= descriptors) return absl::OkStatus();
  rlimit wanted = limit;
  wanted.rlim_cur = descriptors;
  if (wanted.rlim_max < descriptors) wanted.rlim_max = descriptors;  // for who may: root
  if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(descriptors, " open files are needed and this process may have ", limit.rlim_max,
                   ": raise the hard limit (ulimit -Hn, LimitNOFILE=), or share connections with --connections"));
}

}  // namespace meshca::bench
