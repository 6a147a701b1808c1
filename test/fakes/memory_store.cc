#include "test/fakes/memory_store.h"

#include <string>
#include <utility>

#include "ca/authority/key_encryption.h"
#include "ca/base/check.h"
#include "ca/base/secret.h"

namespace meshca {
namespace {

storage::RowStoreOptions Options() {
  static const KeyEncryption* const keys = [] {
    auto made = KeyEncryption::FromKey(SecretBytes(std::string(32, 'm')));
    MESHCA_CHECK(made.ok());
    return new KeyEncryption(*std::move(made));
  }();
  storage::RowStoreOptions options;
  options.keys = keys;
  return options;
}

}  // namespace

struct MemoryStore::Parts {
  std::unique_ptr<MemoryDatabase> database = std::make_unique<MemoryDatabase>();
  std::shared_ptr<QueueFaults> faults = std::make_shared<QueueFaults>();
};

MemoryStore::MemoryStore() : MemoryStore(Parts()) {}

MemoryStore::MemoryStore(Parts parts)
    : RowStore(Options(), std::move(parts.database),
               [&parts](storage::WriteSink& sink, storage::RowDatabase& database) {
                 Mutex& mutex = static_cast<MemoryDatabase&>(database).mutex();
                 return std::make_unique<InlineQueue>(sink, mutex, parts.faults);
               }),
      faults_(parts.faults),
      queue_(static_cast<InlineQueue&>(queue())) {}

MemoryStore::~MemoryStore() = default;

void MemoryStore::ReleaseAppends() {
  for (storage::WriteJobPtr& job : faults_->Release()) {
    std::vector<storage::WriteJobPtr> alone;
    alone.push_back(std::move(job));
    queue_.Write(std::move(alone));
  }
}

}  // namespace meshca
