#include "ca/rpc/reflection.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/rpc/protobuf_payload.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"

namespace meshca::rpc {
namespace {

namespace pb = google::protobuf;

const pb::DescriptorPool& Pool() { return *pb::DescriptorPool::generated_pool(); }

// `file` and what it imports, each once, imports first: a client can build them in this order.
void AppendWithImports(const pb::FileDescriptor& file, std::set<const pb::FileDescriptor*>& seen,
                       pb::RepeatedPtrField<std::string>& out) {
  if (!seen.insert(&file).second) return;
  for (int i = 0; i < file.dependency_count(); ++i) AppendWithImports(*file.dependency(i), seen, out);
  pb::FileDescriptorProto description;
  file.CopyTo(&description);
  description.SerializeToString(out.Add());
}

// The two versions differ in their package alone, so one handler serves both.
template <typename Request, typename Response>
class ReflectionHandler final : public StreamHandler {
 public:
  ReflectionHandler(Stream& stream, std::shared_ptr<const std::vector<std::string>> services)
      : stream_(stream), services_(std::move(services)) {}

  void OnMessage(absl::string_view message) override {
    Request request;
    absl::Status parsed = ParseMessage(message, request);
    if (!parsed.ok()) return stream_.Finish(parsed);
    Response response;
    response.set_valid_host(request.host());
    Answer(request, response);
    *response.mutable_original_request() = std::move(request);
    if (!stream_.Send(Frame(response))) {
      stream_.Finish(absl::ResourceExhaustedError("reflection: too many answers are unread"));
    }
  }
  void OnHalfClose() override { stream_.Finish(absl::OkStatus()); }
  void OnClose(const absl::Status& status) override {}

 private:
  void Answer(const Request& request, Response& response) {
    switch (request.message_request_case()) {
      case Request::kListServices:
        for (const std::string& name : *services_)
          response.mutable_list_services_response()->add_service()->set_name(name);
        return;
      case Request::kFileByFilename:
        return AnswerFile(Pool().FindFileByName(request.file_by_filename()), request.file_by_filename(), response);
      case Request::kFileContainingSymbol:
        return AnswerFile(Pool().FindFileContainingSymbol(request.file_containing_symbol()),
                          request.file_containing_symbol(), response);
      case Request::kFileContainingExtension: {
        const auto& wanted = request.file_containing_extension();
        const pb::Descriptor* type = Pool().FindMessageTypeByName(wanted.containing_type());
        const pb::FieldDescriptor* extension =
            type == nullptr ? nullptr : Pool().FindExtensionByNumber(type, wanted.extension_number());
        return AnswerFile(extension == nullptr ? nullptr : extension->file(),
                          absl::StrCat(wanted.containing_type(), " extension ", wanted.extension_number()), response);
      }
      case Request::kAllExtensionNumbersOfType: {
        const std::string& name = request.all_extension_numbers_of_type();
        const pb::Descriptor* type = Pool().FindMessageTypeByName(name);
        if (type == nullptr) return NotFound(name, response);
        response.mutable_all_extension_numbers_response()->set_base_type_name(name);
        std::vector<const pb::FieldDescriptor*> extensions;
        Pool().FindAllExtensions(type, &extensions);
        for (const auto* extension : extensions) {
          response.mutable_all_extension_numbers_response()->add_extension_number(extension->number());
        }
        return;
      }
      case Request::MESSAGE_REQUEST_NOT_SET: break;
    }
    Error(absl::InvalidArgumentError("the request asks for nothing"), response);
  }

  void AnswerFile(const pb::FileDescriptor* file, absl::string_view what, Response& response) {
    if (file == nullptr) return NotFound(what, response);
    std::set<const pb::FileDescriptor*> seen;
    AppendWithImports(*file, seen, *response.mutable_file_descriptor_response()->mutable_file_descriptor_proto());
  }

  static void NotFound(absl::string_view what, Response& response) {
    Error(absl::NotFoundError(absl::StrCat(what, " is not known here")), response);
  }
  static void Error(const absl::Status& status, Response& response) {
    response.mutable_error_response()->set_error_code(static_cast<int>(status.code()));
    response.mutable_error_response()->set_error_message(std::string(status.message().data(), status.message().size()));
  }

  Stream& stream_;
  const std::shared_ptr<const std::vector<std::string>> services_;
};

template <typename Request, typename Response>
void AddVersion(Router& router, absl::string_view path, const std::shared_ptr<const std::vector<std::string>>& names) {
  router.AddStream(
      path, [names](Stream& stream) { return std::make_unique<ReflectionHandler<Request, Response>>(stream, names); });
}

}  // namespace

void AddReflection(Router& router) {
  auto names = std::make_shared<std::vector<std::string>>(router.services());
  names->push_back("grpc.reflection.v1.ServerReflection");
  names->push_back("grpc.reflection.v1alpha.ServerReflection");
  namespace v1 = grpc::reflection::v1;
  namespace v1alpha = grpc::reflection::v1alpha;
  AddVersion<v1::ServerReflectionRequest, v1::ServerReflectionResponse>(
      router, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", names);
  AddVersion<v1alpha::ServerReflectionRequest, v1alpha::ServerReflectionResponse>(
      router, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", names);
}

}  // namespace meshca::rpc
