// Runs the rules in transactions: reading ones at once, writing ones in the writer's next batch.
#ifndef MESHCA_STORAGE_TRANSACTIONS_H_
#define MESHCA_STORAGE_TRANSACTIONS_H_

#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/authority/key_encryption.h"
#include "ca/identity/audit_entry.h"
#include "storage/row_database.h"
#include "storage/write_queue.h"

namespace meshca::storage {

// Thread-safe. Every call blocks on the database and must not be made on the writer's thread.
class Transactions {
 public:
  using Body = absl::FunctionRef<absl::Status(Tables&)>;

  // All references outlive this object.
  Transactions(RowDatabase& database, WriteQueue& queue, const KeyEncryption& keys)
      : database_(database), queue_(queue), keys_(keys) {}

  absl::Status Read(Body body) const { return database_.Read(body); }
  // As Read, for a `question` that returns StatusOr<Value>.
  template <typename Value, typename Question>
  absl::StatusOr<Value> Ask(Question question) const {
    absl::StatusOr<Value> answer = absl::UnknownError("the question was not asked");
    const absl::Status read = database_.Read([&](Tables& tables) {
      answer = question(tables);
      return answer.status();
    });
    if (!read.ok()) return read;
    return answer;
  }

  // Runs `body` in the writer's next transaction, on the writer's thread, and waits. Ok: what it wrote survives power
  // loss. An error of `body` undoes what it wrote and is returned. Other errors: WriteQueue::Submit's.
  absl::Status Write(Body body) const;
  // As Write, and adds `audit` to the audit log in the same transaction if `deed` returns Ok.
  absl::Status WriteAudited(const AuditEntry& audit, Body deed) const;

  const KeyEncryption& keys() const { return keys_; }

 private:
  RowDatabase& database_;
  WriteQueue& queue_;
  const KeyEncryption& keys_;
};

}  // namespace meshca::storage

#endif  // MESHCA_STORAGE_TRANSACTIONS_H_
