#include "cli/server/http_routes.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "ca/base/utc_text.h"

namespace meshca::cli {
namespace {

constexpr char kPlainText[] = "text/plain; charset=utf-8";
constexpr char kHtml[] = "text/html; charset=utf-8";
constexpr char kPrometheusText[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr char kPageHead[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>meshca</title><style>"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1.5rem .2rem 0;border-bottom:1px solid #ddd}"
    ".no{color:#a00}.yes{color:#060}code{font-size:.9em}</style></head><body>";

std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string AuthorityTable(const AuthoritySnapshot& snapshot) {
  std::string table = "<table><tr><th>authority</th><th>state</th><th>ends</th><th>fingerprint</th></tr>";
  for (const SigningAuthority& authority : snapshot.authorities) {
    if (authority.state == AuthorityState::kRetired) continue;
    absl::StrAppend(&table, "<tr><td>", AuthorityRoleName(authority.role), "</td><td>",
                    AuthorityStateName(authority.state), authority.tainted ? ", tainted" : "", "</td><td>",
                    UtcText(authority.certificate.validity().not_after), "</td><td><code>", Escape(authority.id),
                    "</code></td></tr>");
  }
  return table + "</table>";
}

std::string StatusPage(const HttpPages& pages) {
  const absl::Status ready = pages.ready();
  std::string page = absl::StrCat(kPageHead, "<h1>meshca ", Escape(pages.version), "</h1><p>Trust domain <b>",
                                  Escape(pages.trust_domain), "</b>, ",
                                  ready.ok() ? "<b class=\"yes\">ready</b>" : "<b class=\"no\">not ready</b>", " at ",
                                  UtcText(pages.clock->Now()), ".</p>");
  if (!ready.ok()) {
    absl::StrAppend(&page,
                    "<p class=\"no\">It cannot issue now; SDS goes on with what it has. On its host, "
                    "<code>meshca status</code> and <code>meshca check</code> say why.</p>");
  }
  const std::shared_ptr<const AuthoritySnapshot> snapshot = pages.authorities->Current();
  if (snapshot != nullptr) absl::StrAppend(&page, AuthorityTable(*snapshot));
  absl::StrAppend(&page,
                  "<p><a href=\"/livez\">/livez</a> <a href=\"/readyz\">/readyz</a> "
                  "<a href=\"/metrics\">/metrics</a></p></body></html>\n");
  return page;
}

http::Answer Readyz(const HttpPages& pages) {
  const absl::Status ready = pages.ready();
  if (ready.ok()) return http::Answer::Of(200, kPlainText, "ok\n");
  return http::Answer::Of(503, kPlainText, absl::StrCat("not ready: ", ready.message(), "\n"));
}

}  // namespace

std::vector<http::Page> MakeHttpRoutes(HttpPages pages) {
  auto shared = std::make_shared<const HttpPages>(std::move(pages));
  std::vector<http::Page> routes;
  routes.push_back({"/livez", [] { return http::Answer::Of(200, kPlainText, "ok\n"); }});
  routes.push_back({"/readyz", [shared] { return Readyz(*shared); }});
  routes.push_back({"/metrics", [shared] { return http::Answer::Of(200, kPrometheusText, shared->metrics()); }, true});
  routes.push_back({"/", [shared] { return http::Answer::Of(200, kHtml, StatusPage(*shared)); }, true});
  return routes;
}

}  // namespace meshca::cli
