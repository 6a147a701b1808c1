// `meshca-bench csr`: how many certificates a second a CA gives, how fast, and what each costs it.
#ifndef MESHCA_TEST_BENCH_CSR_COMMAND_H_
#define MESHCA_TEST_BENCH_CSR_COMMAND_H_

#include <CLI/CLI.hpp>

namespace meshca::bench {

// Adds the command; running it sets `exit_code`: 0 measured, 1 could not measure (said on stderr).
CLI::App* AddCsrCommand(CLI::App& tool, int& exit_code);

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_CSR_COMMAND_H_
