#include "test/bench/csr_stream.h"

#include <utility>

#include "ca/base/clock.h"
#include "istio/v1/auth/ca.pb.h"

namespace meshca::bench {

std::string CsrMessage(const std::string& csr) {
  istio::v1::auth::IstioCertificateRequest request;
  request.set_csr(csr);
  return request.SerializeAsString();
}

CsrStream::CsrStream(Options options) : options_(std::move(options)), thread_([this] { Run(); }) {}

CsrStream::~CsrStream() { Stop(); }

void CsrStream::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void CsrStream::Run() {
  for (size_t number = 0; number < options_.count; ++number) {
    const absl::Duration begun = SystemClock().SinceBoot();
    std::string csr = options_.make();
    const absl::Duration spent = SystemClock().SinceBoot() - begun;
    MutexLock lock(mutex_);
    ready_.push_back(std::move(csr));
    ++made_;
    spent_ += spent;
    changed_.NotifyAll();
    while (!stopping_ && ready_.size() >= options_.ahead) changed_.Wait(mutex_);
    if (stopping_) return;
  }
}

void CsrStream::Fill() {
  MutexLock lock(mutex_);
  while (ready_.size() < options_.ahead && made_ < options_.count) changed_.Wait(mutex_);
}

double CsrStream::MadePerSecond() const {
  MutexLock lock(mutex_);
  return made_ == 0 ? 0 : static_cast<double>(made_) / absl::ToDoubleSeconds(spent_);
}

std::optional<std::string> CsrStream::Take(size_t number) {
  std::string csr;
  {
    MutexLock lock(mutex_);
    if (ready_.empty()) return std::nullopt;
    csr = std::move(ready_.front());
    ready_.pop_front();
    if (ready_.size() + 1 == options_.ahead) changed_.NotifyAll();  // the thread slept
  }
  std::string framed = GrpcFrame(CsrMessage(csr));
  if (options_.keep_one_in > 0 && number % options_.keep_one_in == 0) kept_.emplace(number, std::move(csr));
  return framed;
}

}  // namespace meshca::bench
