// meshca cert revoke
#ifndef MESHCA_CLI_COMMANDS_CERT_REVOKE_COMMAND_H_
#define MESHCA_CLI_COMMANDS_CERT_REVOKE_COMMAND_H_

#include <string>

#include "cli/session.h"
#include "meshca/admin/v1/admin.pb.h"

namespace CLI {
class App;
}

namespace meshca::cli {

// Under `noun`, which is `meshca cert`.
void AddCertRevoke(CLI::App& noun, Session& session);

// What gave the right to a certificate: "entry 5f0c...", "unknown".
std::string ShowOrigin(const admin::v1::CertificateRecord& record);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_COMMANDS_CERT_REVOKE_COMMAND_H_
