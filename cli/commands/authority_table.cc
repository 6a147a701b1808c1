#include "cli/commands/authority_table.h"

#include <cstdio>
#include <string>

#include "cli/terminal/people_time.h"
#include "cli/terminal/table.h"

namespace meshca::cli {

namespace v1 = ::meshca::admin::v1;

namespace {

// One that signs elsewhere alone is never active here; one that came back signs here too.
std::string StateOf(const v1::Authority& authority) {
  if (!authority.exported()) return authority.state();
  return authority.state() == "old" ? "exported" : authority.state() + ", exported";
}

// What is signed elsewhere is not known here.
std::string LiveOf(const v1::Authority& authority) {
  const std::string here = std::to_string(authority.live_certificates());
  if (!authority.exported()) return here;
  return authority.live_certificates() == 0 ? "unknown" : here + " and unknown";
}

}  // namespace

void PrintAuthorities(const Session& session, const v1::ListAuthoritiesResponse& response) {
  session.Print(response, [&] {
    Table table({"ROLE", "STATE", "FINGERPRINT (SHA-256 OF THE PUBLIC KEY)", "UNTIL (UTC)", "LIVE", "SUBJECT"}, stdout);
    for (const v1::Authority& authority : response.authorities()) {
      const std::string state = StateOf(authority);
      table.Add({authority.role(), authority.tainted() ? state + ", tainted" : state, authority.id(),
                 ShowTime(authority, "not_after"), LiveOf(authority), authority.subject()});
    }
  });
}

}  // namespace meshca::cli
