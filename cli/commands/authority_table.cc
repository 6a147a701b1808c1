#include "cli/commands/authority_table.h"

#include <cstdio>
#include <string>

#include "cli/terminal/people_time.h"
#include "cli/terminal/table.h"

namespace meshca::cli {

namespace v1 = ::meshca::admin::v1;

void PrintAuthorities(const Session& session, const v1::ListAuthoritiesResponse& response) {
  session.Print(response, [&] {
    Table table({"ROLE", "STATE", "FINGERPRINT (SHA-256 OF THE PUBLIC KEY)", "UNTIL (UTC)", "LIVE", "SUBJECT"}, stdout);
    for (const v1::Authority& authority : response.authorities()) {
      const std::string state = authority.exported() ? "exported" : authority.state();
      table.Add({authority.role(), authority.tainted() ? state + ", tainted" : state, authority.id(),
                 ShowTime(authority, "not_after"),
                 authority.exported() ? "unknown" : std::to_string(authority.live_certificates()),
                 authority.subject()});
    }
  });
}

}  // namespace meshca::cli
