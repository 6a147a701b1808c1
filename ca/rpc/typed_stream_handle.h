// A stream's handle for those who know what kind of handler the stream has.
#ifndef MESHCA_CA_RPC_TYPED_STREAM_HANDLE_H_
#define MESHCA_CA_RPC_TYPED_STREAM_HANDLE_H_

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "ca/rpc/stream.h"

namespace meshca::rpc {

// As StreamHandle, but a visit is given the handler by its own type. Made of the stream and its handler together, so
// that nobody who posts has to know, or to guess, which handler a stream has. Handler derives from StreamHandler, by no
// virtual base. Size and cost are those of a StreamHandle.
template <typename Handler>
class TypedStreamHandle {
 public:
  TypedStreamHandle() = default;
  // `handler` is the handler of `stream`: called by the handler itself, for the stream that its factory was given.
  TypedStreamHandle(Stream& stream, Handler& handler) : handle_(stream.handle()) {
    static_assert(std::is_base_of_v<StreamHandler, Handler>);
  }
  // A more particular handler passes for a more general one, as its pointer does.
  template <typename Derived, typename = std::enable_if_t<std::is_base_of_v<Handler, Derived>>>
  // NOLINTNEXTLINE(google-explicit-constructor)
  TypedStreamHandle(TypedStreamHandle<Derived> other) : handle_(std::move(other.handle_)) {}

  // StreamHandle::Post.
  template <typename Visit>
  void Post(Visit visit) const {
    handle_.Post([visit = std::move(visit)](StreamHandler& handler) mutable {
      std::move(visit)(static_cast<Handler&>(handler));
    });
  }

  // StreamHandle::PostAll. Handles that are empty are passed over.
  template <typename Visit>
  static void PostAll(std::vector<TypedStreamHandle> handles, Visit visit) {
    std::vector<StreamHandle> all;
    all.reserve(handles.size());
    for (TypedStreamHandle& handle : handles) all.push_back(std::move(handle.handle_));
    StreamHandle::PostAll(
        all, std::make_shared<const std::function<void(StreamHandler&)>>(
                 [visit = std::move(visit)](StreamHandler& handler) { visit(static_cast<Handler&>(handler)); }));
  }

  explicit operator bool() const { return static_cast<bool>(handle_); }
  bool operator==(const TypedStreamHandle& other) const { return handle_ == other.handle_; }

 private:
  template <typename Other>
  friend class TypedStreamHandle;
  StreamHandle handle_;
};

}  // namespace meshca::rpc

#endif  // MESHCA_CA_RPC_TYPED_STREAM_HANDLE_H_
