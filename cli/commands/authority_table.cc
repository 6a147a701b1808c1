#include "cli/commands/authority_table.h"

#include <cstdio>
#include <string>

#include "cli/terminal/people_time.h"
#include "cli/terminal/table.h"

namespace meshca::cli {

namespace v1 = ::meshca::admin::v1;

namespace {

// One that signs elsewhere alone is old and has signed nothing here; one that came back has. What a retired one signs
// is believed by nobody.
std::string StateOf(const v1::Authority& authority) {
  if (!authority.exported() || authority.state() == "retired") return authority.state();
  const bool signed_here = authority.state() != "old" || authority.live_certificates() > 0;
  return signed_here ? authority.state() + ", exported" : "exported";
}

// What is signed elsewhere is not known here.
std::string LiveOf(const v1::Authority& authority) {
  std::string here = std::to_string(authority.live_certificates());
  if (!authority.exported() || authority.state() == "retired") return here;
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
