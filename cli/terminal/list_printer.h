// Lists on stdout, in the form that the user asked for.
#ifndef MESHCA_CLI_TERMINAL_LIST_PRINTER_H_
#define MESHCA_CLI_TERMINAL_LIST_PRINTER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "cli/terminal/table.h"

namespace google::protobuf {
class Message;
}

namespace meshca::cli {

// The form of an answer: `-o`.
enum class OutputFormat { kTable, kJson, kYaml };

// A list on stdout, printed as its items come: a JSON array, a YAML list, or a table. One thread.
class ListPrinter {
 public:
  ListPrinter(OutputFormat format, std::vector<std::string> headers);
  // Closes the list. Not printed where nothing was added and Abandon was called.
  ~ListPrinter();
  ListPrinter(const ListPrinter&) = delete;
  ListPrinter& operator=(const ListPrinter&) = delete;

  // `row` is asked for tables alone.
  void Add(const google::protobuf::Message& message, absl::FunctionRef<std::vector<std::string>()> row);
  // An error comes instead: print no empty list.
  void Abandon() { abandoned_ = true; }

 private:
  const OutputFormat format_;
  std::vector<std::string> headers_;
  std::unique_ptr<Table> table_;
  size_t count_ = 0;
  bool abandoned_ = false;
};

}  // namespace meshca::cli

#endif  // MESHCA_CLI_TERMINAL_LIST_PRINTER_H_
