// `meshca-bench jwt`: what a JWT-SVID costs to mint, and to fetch over the SPIFFE Workload API.
#ifndef MESHCA_TEST_BENCH_JWT_COMMAND_H_
#define MESHCA_TEST_BENCH_JWT_COMMAND_H_

#include <CLI/CLI.hpp>

namespace meshca::bench {

// `exit_code`: 0 measured, 1 could not measure.
CLI::App* AddJwtCommand(CLI::App& tool, int& exit_code);

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_JWT_COMMAND_H_
