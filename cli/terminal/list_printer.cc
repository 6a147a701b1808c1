#include "cli/terminal/list_printer.h"

#include <google/protobuf/message.h>

#include <cstdio>
#include <utility>

#include "cli/terminal/message_text.h"
#include "cli/terminal/output.h"

namespace meshca::cli {

using google::protobuf::Message;

ListPrinter::ListPrinter(OutputFormat format, std::vector<std::string> headers)
    : format_(format), headers_(std::move(headers)) {}

void ListPrinter::Add(const Message& message, absl::FunctionRef<std::vector<std::string>()> row) {
  switch (format_) {
    case OutputFormat::kJson: Out("%s\n%s", count_ == 0 ? "[" : ",", ToJson(message)); break;
    case OutputFormat::kYaml: PutText(stdout, ToYamlItem(message)); break;
    case OutputFormat::kTable:
      if (table_ == nullptr) table_ = std::make_unique<Table>(headers_, stdout);
      table_->Add(row());
      break;
  }
  ++count_;
}

ListPrinter::~ListPrinter() {
  if (count_ == 0 && abandoned_) return;
  switch (format_) {
    // After an error in the midst of a list the array stays open: half a list must not parse as a whole one.
    case OutputFormat::kJson:
      if (!abandoned_) PutRaw(stdout, count_ == 0 ? "[]\n" : "\n]\n");
      break;
    case OutputFormat::kYaml:
      if (count_ == 0) PutText(stdout, "[]\n");
      break;
    case OutputFormat::kTable:
      if (table_ == nullptr) Table(headers_, stdout);
      break;
  }
}

}  // namespace meshca::cli
