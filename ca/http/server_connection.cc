#include "ca/http/server_connection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ca/http/tls_settings.h"

namespace meshca::http {
namespace {

// How long a client may take to read the end and close; a reset before that could cost it the answer.
constexpr absl::Duration kLinger = absl::Seconds(1);

const char* Phrase(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return status < 400 ? "OK" : "Error";
  }
}

// A handler's field that would end its line becomes one that says nothing.
std::string FieldLine(const Headers::Field& field) {
  if (field.name.find_first_of("\r\n:") != std::string::npos ||
      field.value.find_first_of("\r\n") != std::string::npos) {
    return "";
  }
  return absl::StrCat(field.name, ": ", field.value, "\r\n");
}

std::string HeadOf(const Answer& answer, bool ends) {
  std::string head =
      absl::StrCat("HTTP/1.1 ", answer.status, " ", Phrase(answer.status), "\r\nContent-Type: ", answer.content_type,
                   "\r\nContent-Length: ", answer.body == nullptr ? 0 : answer.body->size(),
                   "\r\nConnection: ", ends ? "close" : "keep-alive",
                   "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff"
                   "\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n");
  for (const Headers::Field& field : answer.headers) absl::StrAppend(&head, FieldLine(field));
  absl::StrAppend(&head, "\r\n");
  return head;
}

}  // namespace

Answer Answer::Of(int status, std::string content_type, std::string body) {
  Answer answer;
  answer.status = status;
  answer.content_type = std::move(content_type);
  answer.body = std::make_shared<const std::string>(std::move(body));
  return answer;
}

Answer Answer::Refusal(int status) {
  return Of(status, Answer().content_type, absl::StrCat(status, " ", Phrase(status), "\n"));
}

Responder::~Responder() {
  if (respond_ != nullptr) std::move(respond_)(Answer::Refusal(500));
}

void Responder::operator()(Answer answer) && { std::exchange(respond_, nullptr)(std::move(answer)); }

ServerConnection::ServerConnection(ConnectionHost& host, std::unique_ptr<Wire> wire, std::string peer)
    : host_(host), wire_(std::move(wire)), peer_(std::move(peer)), deadline_(*host.loop()) {}

void ServerConnection::Begin() {
  SetDeadline(host_.options().request_timeout);
  if (host_.tls() == nullptr) return BeginRequest();
  wire_->Handshake(*host_.tls(), [self = shared_from_this()](absl::Status status) {
    if (!status.ok()) return self->CutOff();
    self->BeginRequest();
  });
}

void ServerConnection::Drain() {
  if (phase_ == Phase::kHandshake || (phase_ == Phase::kReading && !has_begun_)) CutOff();
}

// The deadline runs already: from accept, or from the answer before.
void ServerConnection::BeginRequest() {
  phase_ = Phase::kReading;
  reader_.emplace(host_.options().head_bytes_max, host_.options().body_bytes_max);
  head_seen_ = has_begun_ = false;
  ++number_;
  if (received_.empty()) return ReceiveNext();
  has_begun_ = true;
  TakeReceived();
}

void ServerConnection::ReceiveNext() {
  wire_->Receive(
      [self = shared_from_this()](absl::StatusOr<absl::string_view> bytes) { self->OnReceived(std::move(bytes)); });
}

void ServerConnection::OnReceived(absl::StatusOr<absl::string_view> bytes) {
  if (!bytes.ok() || bytes->empty()) return CutOff();
  if (!has_begun_ && number_ > 1) SetDeadline(host_.options().request_timeout);
  has_begun_ = true;
  absl::StrAppend(&received_, *bytes);
  TakeReceived();
}

void ServerConnection::TakeReceived() {
  for (;;) {
    const size_t used = reader_->Take(received_);
    received_.erase(0, used);
    const RequestReader::State state = reader_->state();
    if (state == RequestReader::State::kRefused) {
      ends_ = true;
      is_head_request_ = false;
      return Send(Answer::Refusal(reader_->refusal()));
    }
    if (state == RequestReader::State::kHead) return ReceiveNext();
    if (!head_seen_) {
      head_seen_ = true;
      is_head_request_ = reader_->request().method == "HEAD";
      reader_->request().peer = peer_;
      if (std::optional<Answer> answer = host_.handler().OnHead(reader_->request())) {
        ends_ = !reader_->keep_alive();  // no either, while there is a body unread
        return Send(*std::move(answer));
      }
      if (state == RequestReader::State::kBody) {
        if (host_.options().body_bytes_max == 0) return Dispatch();
        // A body that is known to be too long is not invited.
        reader_->Take("");
        if (reader_->state() == RequestReader::State::kBody) InviteBody();
        continue;
      }
    }
    if (state == RequestReader::State::kComplete) return Dispatch();
    if (received_.empty()) return ReceiveNext();
  }
}

// A client may wait to hear whether its body is wanted (RFC 9110 §10.1.1).
void ServerConnection::InviteBody() {
  const std::string* expect = reader_->request().headers.Find("expect");
  if (expect == nullptr || !absl::EqualsIgnoreCase(*expect, "100-continue") || !received_.empty()) return;
  is_inviting_ = true;
  wire_->Send(std::make_shared<const std::string>("HTTP/1.1 100 Continue\r\n\r\n"), nullptr,
              [self = shared_from_this()](absl::Status status) {
                self->is_inviting_ = false;
                if (!status.ok()) return self->CutOff();
                if (self->held_.has_value()) self->Send(*std::exchange(self->held_, std::nullopt));
              });
}

void ServerConnection::Dispatch() {
  phase_ = Phase::kWaiting;
  ends_ = !reader_->keep_alive();
  SetDeadline(host_.options().answer_timeout);
  const std::weak_ptr<ServerConnection> weak = weak_from_this();
  Responder respond(
      [weak, loop = host_.loop(), number = number_](Answer answer) {
        if (loop->IsLoopThread()) {
          if (const auto self = weak.lock()) self->OnAnswer(number, std::move(answer));
          return;
        }
        loop->Post([weak, number, answer = std::move(answer)]() mutable {
          if (const auto self = weak.lock()) self->OnAnswer(number, std::move(answer));
        });
      },
      weak);
  host_.handler().OnRequest(std::move(reader_->request()), std::move(respond));
}

void ServerConnection::OnAnswer(uint64_t number, Answer answer) {
  if (phase_ == Phase::kWaiting && number == number_) Send(std::move(answer));
}

void ServerConnection::Send(Answer answer) {
  phase_ = Phase::kWriting;
  SetDeadline(host_.options().answer_timeout);
  if (is_inviting_) {
    held_ = std::move(answer);
    return;
  }
  ends_ = ends_ || host_.is_draining();
  auto head = std::make_shared<const std::string>(HeadOf(answer, ends_));
  wire_->Send(std::move(head), is_head_request_ ? nullptr : std::move(answer.body),
              [self = shared_from_this()](absl::Status status) { self->OnSent(status); });
}

void ServerConnection::OnSent(const absl::Status& status) {
  if (!status.ok()) return CutOff();
  if (ends_ || host_.is_draining()) return Linger();
  if (received_.empty()) received_.shrink_to_fit();
  SetDeadline(received_.empty() ? host_.options().idle_timeout : host_.options().request_timeout);
  host_.OnIdle(*this);
  BeginRequest();
}

void ServerConnection::Linger() {
  phase_ = Phase::kLingering;
  reader_.reset();
  SetDeadline(kLinger);
  wire_->EndInOrder([self = shared_from_this()](absl::Status) { self->CutOff(); });
}

void ServerConnection::SetDeadline(absl::Duration timeout) {
  deadline_.Set(timeout, [self = this] { self->OnDeadline(); });  // the timer is ours
}

void ServerConnection::OnDeadline() {
  if (phase_ != Phase::kWaiting) return CutOff();
  ends_ = true;
  Send(Answer::Refusal(503));
}

void ServerConnection::CutOff() {
  if (phase_ == Phase::kEnded) return;
  const auto self = shared_from_this();
  // A client that does not take its answer: the kernel would go on offering the rest for minutes.
  if (phase_ == Phase::kWriting) wire_->Reset();
  wire_->Close();
  phase_ = Phase::kEnded;
  deadline_.Cancel();
  host_.OnEnd(*this);
}

}  // namespace meshca::http
