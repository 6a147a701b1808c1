// `meshca-bench token`: what the token of a Kubernetes service account costs that is verified without a call.
#ifndef MESHCA_TEST_BENCH_TOKEN_COMMAND_H_
#define MESHCA_TEST_BENCH_TOKEN_COMMAND_H_

#include <CLI/CLI.hpp>

namespace meshca::bench {

// Adds `token` to `tool`; parsing runs it and sets `exit_code`.
CLI::App* AddTokenCommand(CLI::App& tool, int& exit_code);

}  // namespace meshca::bench

#endif  // MESHCA_TEST_BENCH_TOKEN_COMMAND_H_
