#include "cli/terminal/table.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "test/cli/terminal/captured.h"

namespace meshca::cli {
namespace {

// What a table of these rows prints.
std::string Printed(const std::vector<std::string>& headers, const std::vector<std::vector<std::string>>& rows) {
  Captured captured;
  {
    Table table(headers, captured.out());
    for (const auto& row : rows) table.Add(row);
  }
  return captured.Text();
}

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
  EXPECT_EQ(Printed({"ID", "NAME"}, {{"long-id", "a"}, {"x", ""}}), "ID       NAME\nlong-id  a\nx        -\n");
}

TEST(Table, HeadersStandOverNothing) { EXPECT_EQ(Printed({"ID", "NAME"}, {}), "ID  NAME\n"); }

TEST(Table, ControlBytesDoNotReachTheTerminal) { EXPECT_EQ(Printed({"A"}, {{"a\x1b[2J\nb"}}), "A\na\\u{1b}[2J\\nb\n"); }

TEST(Table, RowsPastTheSampleGoOutAsTheyCome) {
  std::vector<std::vector<std::string>> rows(Table::kSample + 5, {"a", "b"});
  rows.push_back({"wider than all before", "b"});
  const std::string printed = Printed({"A", "B"}, rows);
  EXPECT_NE(printed.find("\nwider than all before  b\n"), std::string::npos);
}

}  // namespace
}  // namespace meshca::cli
