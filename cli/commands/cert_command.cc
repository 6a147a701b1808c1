// meshca cert list|show|renew|tree; cert_revoke_command.cc adds revoke
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "ca/base/counted.h"
#include "ca/base/status.h"
#include "cli/commands/cert_revoke_command.h"
#include "cli/commands/commands.h"
#include "cli/commands/durations.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"
#include "cli/terminal/table.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

constexpr char kList[] = "/meshca.admin.v1.Admin/ListCertificates";

struct FilterOptions {
  std::string id_glob;
  std::string issuer;
  std::string node;
  std::string expires_before;
  std::string expires_after;
  bool live = false;
  bool revoked = false;
};

struct RenewOptions {
  std::string serial;
  std::string id_glob;
};

void BindFilter(CLI::App& app, FilterOptions& options) {
  app.add_option("--id", options.id_glob, "SPIFFE IDs: `*` is any run of characters, `?` any one")->type_name("GLOB");
  app.add_option("--issuer", options.issuer, "Beginning of the issuing authority's id")->type_name("HEX");
  app.add_option("--node", options.node, "Node the certificate belongs to")->type_name("NAME");
  app.add_option("--expires-before", options.expires_before, "Ends before: 2026-11-23, a full time, or 7d from now")
      ->type_name("TIME");
  app.add_option("--expires-after", options.expires_after, "Ends after")->type_name("TIME");
  app.add_flag("--live", options.live, "Only those that have not expired");
  app.add_flag("--revoked", options.revoked, "Only those that were revoked, with when, why and what gave the right");
}

absl::StatusOr<v1::ListCertificatesRequest> ReadFilter(const FilterOptions& options) {
  const absl::Time now = absl::Now();
  v1::ListCertificatesRequest request;
  request.set_spiffe_id_glob(options.id_glob);
  request.set_authority_id_prefix(options.issuer);
  request.set_node(options.node);
  request.set_revoked_only(options.revoked);
  if (options.live) request.mutable_expires_after()->set_seconds(absl::ToUnixSeconds(now));
  if (!options.expires_before.empty()) {
    MESHCA_RETURN_IF_ERROR(
        ReadTime("--expires-before", options.expires_before, now, *request.mutable_expires_before()));
  }
  if (!options.expires_after.empty()) {
    MESHCA_RETURN_IF_ERROR(ReadTime("--expires-after", options.expires_after, now, *request.mutable_expires_after()));
  }
  return request;
}

std::vector<std::string> PlainHeaders() { return {"SERIAL", "SPIFFE ID", "EXPIRES (UTC)", "BY", "CALLER", "ISSUER"}; }
std::vector<std::string> PlainRow(const v1::CertificateRecord& record) {
  return {record.serial(),      record.spiffe_id(), ShowTime(record, "not_after"),
          record.auth_method(), record.caller(),    ShortenHex(record.authority_id())};
}

std::vector<std::string> RevokedHeaders() {
  return {"SERIAL", "SPIFFE ID", "EXPIRES (UTC)", "REVOKED (UTC)", "REASON", "ORIGIN"};
}
std::vector<std::string> RevokedRow(const v1::CertificateRecord& record) {
  return {record.serial(),
          record.spiffe_id(),
          ShowTime(record, "not_after"),
          ShowTime(record, "revoked_at"),
          record.revocation_reason(),
          ShowOrigin(record)};
}

absl::Status ListCertificates(Session& session, FilterOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const v1::ListCertificatesRequest request, ReadFilter(options));
  MESHCA_ASSIGN_OR_RETURN(RpcClient* const admin, session.Admin());
  ListPrinter printer(session.format, options.revoked ? RevokedHeaders() : PlainHeaders());
  v1::CertificateRecord record;
  absl::Status status = admin->ServerStream(
      kList, request, record,
      [&] {
        printer.Add(record, [&] { return options.revoked ? RevokedRow(record) : PlainRow(record); });
        // Nobody reads any more (`| head`): reading on would be for nothing.
        return !OutputBroken();
      },
      {.timeout = absl::InfiniteDuration()});
  if (!status.ok()) printer.Abandon();
  return session.Told(status);
}

std::string Revoked(const v1::CertificateRecord& record) {
  if (!record.has_revoked_at()) return "no";
  return absl::StrCat(ShowTime(record, "revoked_at"), " UTC (", record.revocation_reason(), ")");
}

absl::Status ShowCertificate(Session& session, const std::string& serial) {
  v1::GetCertificateRequest request;
  request.set_serial(serial);
  v1::CertificateRecord record;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("GetCertificate", request, record));
  session.Print(record, [&] {
    Out("serial       %s\nspiffe id    %s\nvalid        %s to %s UTC\nissued       %s UTC\n", record.serial(),
        record.spiffe_id(), ShowTime(record, "not_before"), ShowTime(record, "not_after"),
        ShowTime(record, "issued_at"));
    Out("authority    %s\ncaller       %s (%s)\nnode         %s\ninstance     %s\n", record.authority_id(),
        record.caller(), record.auth_method(), record.node().empty() ? "-" : record.node(),
        record.instance().empty() ? "-" : record.instance());
    Out("origin       %s\nline         %s\nrevoked      %s\n", ShowOrigin(record),
        record.line_serial().empty() ? "-" : record.line_serial(), Revoked(record));
    Out("renews       %s\nkey          sha256 %s\ncertificate  sha256 %s\n",
        record.parent_serial().empty() ? "-" : record.parent_serial(), record.key_sha256(),
        record.certificate_sha256());
  });
  return absl::OkStatus();
}

void BindRenew(CLI::App& app, RenewOptions& options) {
  app.add_option("SERIAL", options.serial, "Serial number of the certificate to replace");
  app.add_option("--id", options.id_glob, "Every identity that fits: spiffe://cluster.local/ns/prod/*")
      ->type_name("GLOB");
}

absl::Status Renew(Session& session, RenewOptions& options) {
  if (options.serial.empty() == options.id_glob.empty()) return UsageError("give a SERIAL or --id GLOB, one of them");
  v1::RenewCertificatesRequest request;
  request.set_serial(options.serial);
  request.set_spiffe_id_glob(options.id_glob);
  v1::RenewCertificatesResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("RenewCertificates", request, response));
  session.Print(response, [&] {
    Out("renewing %s:\n", Counted(response.renewed(), "key"));
    for (const std::string& id : response.spiffe_ids()) Out("  %s\n", id);
  });
  return absl::OkStatus();
}

// Authorities above what they signed, with counts where names would be too many.
absl::Status Tree(Session& session) {
  v1::ListAuthoritiesRequest request;
  request.set_include_retired(true);
  v1::ListAuthoritiesResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("ListAuthorities", request, response));
  session.Print(response, [&] {
    for (const v1::Authority& root : response.authorities()) {
      if (root.role() != "root") continue;
      Out("%s  %s%s  until %s  %llu live  %s\n", root.id(), root.state(), root.tainted() ? " TAINTED" : "",
          ShowTime(root, "not_after"), static_cast<unsigned long long>(root.live_certificates()), root.subject());
      std::vector<const v1::Authority*> children;
      for (const v1::Authority& authority : response.authorities()) {
        if (authority.role() != "root" && authority.root_id() == root.id()) children.push_back(&authority);
      }
      for (const v1::Authority* child : children) {
        Out("%s %s  %s%s  until %s  %llu live\n", child == children.back() ? "└─" : "├─", child->id(), child->state(),
            child->tainted() ? " TAINTED" : "", ShowTime(*child, "not_after"),
            static_cast<unsigned long long>(child->live_certificates()));
      }
    }
  });
  return absl::OkStatus();
}

}  // namespace

void AddCert(CLI::App& root, Session& session) {
  CLI::App* noun = AddNoun(root, "cert", "Every certificate ever issued");
  AddVerb<FilterOptions>(*noun, session, "list", "Certificates, oldest first; no limit", BindFilter, ListCertificates);
  AddIdVerb(*noun, session, "show", "One certificate's record", {"SERIAL", "Serial number, 32 hex digits"},
            ShowCertificate);
  AddVerb<RenewOptions>(*noun, session, "renew", "Push a new key to the SDS subscribers that hold a certificate",
                        BindRenew, Renew);
  AddCertRevoke(*noun, session);
  AddVerb(*noun, session, "tree", "Authorities and how many live certificates hang on each", Tree);
}

}  // namespace meshca::cli
