// Authorities for people.
#ifndef MESHCA_CLI_COMMANDS_AUTHORITY_TABLE_H_
#define MESHCA_CLI_COMMANDS_AUTHORITY_TABLE_H_

#include "cli/session.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {

// The whole answer in the session's format.
void PrintAuthorities(const Session& session, const meshca::admin::v1::ListAuthoritiesResponse& response);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_COMMANDS_AUTHORITY_TABLE_H_
