#include "cli/commands/cert_revoke_command.h"

#include <CLI/App.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ca/base/counted.h"
#include "ca/base/exactly_one.h"
#include "ca/base/printable.h"
#include "ca/base/status.h"
#include "ca/issuance/revocation_store.h"
#include "cli/commands/subcommand.h"
#include "cli/terminal/output.h"
#include "cli/terminal/people_time.h"
#include "cli/terminal/table.h"

namespace meshca::cli {
namespace {

namespace v1 = ::meshca::admin::v1;

struct RevokeOptions {
  std::string serial;
  std::string id_glob;
  std::string issuer;
  std::string node;
  std::string entry;
  std::string reason;
  bool dry_run = false;
};

void BindRevocation(CLI::App& app, RevokeOptions& options) {
  app.add_option("SERIAL", options.serial, "Serial number of one certificate, 32 hex digits");
  app.add_option("--id", options.id_glob, "Every identity that fits: spiffe://cluster.local/ns/prod/*")
      ->type_name("GLOB");
  app.add_option("--issuer", options.issuer, "All that an authority signed: its id, or 8 characters of it")
      ->type_name("ID");
  app.add_option("--node", options.node, "All that belong to a node")->type_name("NAME");
  app.add_option("--entry", options.entry, "All whose right comes from a registration entry, deleted ones too")
      ->type_name("ID");
  app.add_option("--reason", options.reason,
                 "Why: unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation or "
                 "privilegeWithdrawn")
      ->type_name("REASON");
  app.add_flag("--dry-run", options.dry_run, "Only list what would be revoked");
}

absl::StatusOr<v1::RevokeCertificatesRequest> ReadOptions(const RevokeOptions& options) {
  const absl::Status one = CheckExactlyOne({{"SERIAL", !options.serial.empty()},
                                            {"--id GLOB", !options.id_glob.empty()},
                                            {"--issuer ID", !options.issuer.empty()},
                                            {"--node NAME", !options.node.empty()},
                                            {"--entry ID", !options.entry.empty()}},
                                           "it says what is to be revoked");
  if (!one.ok()) return UsageError(one.message());
  if (!options.reason.empty()) {
    const absl::StatusOr<RevocationReason> reason = ParseRevocationReason(options.reason);
    if (!reason.ok()) return UsageError(absl::StrCat("--reason: ", reason.status().message()));
  }
  v1::RevokeCertificatesRequest request;
  request.set_serial(options.serial);
  request.set_spiffe_id_glob(options.id_glob);
  request.set_authority_id_prefix(options.issuer);
  request.set_node(options.node);
  request.set_entry_id(options.entry);
  request.set_reason(options.reason);
  request.set_dry_run(options.dry_run);
  return request;
}

void PrintTable(const v1::RevokeCertificatesResponse& response) {
  Table table({"SERIAL", "SPIFFE ID", "EXPIRES (UTC)", "NODE", "ORIGIN"}, stdout);
  for (const v1::CertificateRecord& record : response.records()) {
    table.Add({record.serial(), record.spiffe_id(), ShowTime(record, "not_after"),
               record.node().empty() ? "-" : record.node(), ShowOrigin(record)});
  }
}

// "3 certificates (2 lines of renewals)".
std::string What(const v1::RevokeCertificatesResponse& response) {
  return absl::StrCat(Counted(response.certificates(), "certificate"), " (",
                      Counted(response.lines(), "line of renewals", "lines of renewals"), ")");
}

// Until when a proxy can go on with what it holds.
std::string LastEnd(const v1::RevokeCertificatesResponse& response) {
  if (static_cast<uint64_t>(response.records_size()) < response.certificates()) {
    return "`meshca cert list --revoked` shows when";
  }
  const v1::CertificateRecord* last = nullptr;
  for (const v1::CertificateRecord& record : response.records()) {
    if (last == nullptr || record.not_after().seconds() > last->not_after().seconds()) last = &record;
  }
  return last == nullptr ? "" : absl::StrCat("the last at ", ShowTime(*last, "not_after"), " UTC");
}

// How to take the right itself away.
std::string Advice(const v1::StandingRight& right) {
  const std::string id = Printable(right.spiffe_id());
  if (right.origin_kind() == "entry") {
    return absl::StrCat("entry ", right.origin_reference(), " still gives ", id, ": `meshca entry delete ",
                        right.origin_reference(), "` takes that away");
  }
  return absl::StrCat(right.origin_kind(), " ", Printable(right.origin_reference()), " still gives ", id,
                      " to whoever brings its token");
}

// On stderr, so that stdout has the answer alone.
void Advise(const v1::RevokeCertificatesResponse& response) {
  Err("note: whoever holds one of them can use it with others until it ends (%s)\n", LastEnd(response));
  for (const v1::StandingRight& right : response.standing()) {
    Err("note: %s\n", Advice(right));
  }
}

void PrintDryRun(const v1::RevokeCertificatesResponse& response) {
  PrintTable(response);
  if (static_cast<uint64_t>(response.records_size()) < response.certificates()) {
    Err("... and %llu more\n", static_cast<unsigned long long>(response.certificates() - response.records_size()));
  }
  Err("would revoke %s; nothing was changed\n", What(response));
}

void PrintRevoked(const v1::RevokeCertificatesResponse& response) {
  Out("revoked %s; their connections are cut\n", What(response));
  if (response.keys_dropped() > 0) {
    Out("%s of SDS subscribers dropped; their streams end\n", Counted(response.keys_dropped(), "key"));
  }
}

absl::Status Revoke(Session& session, RevokeOptions& options) {
  MESHCA_ASSIGN_OR_RETURN(const v1::RevokeCertificatesRequest request, ReadOptions(options));
  v1::RevokeCertificatesResponse response;
  MESHCA_RETURN_IF_ERROR(session.CallAdmin("RevokeCertificates", request, response));
  session.Print(response, [&] { response.dry_run() ? PrintDryRun(response) : PrintRevoked(response); });
  if (!response.dry_run()) Advise(response);
  return absl::OkStatus();
}

}  // namespace

std::string ShowOrigin(const v1::CertificateRecord& record) {
  if (record.origin_reference().empty()) return record.origin_kind().empty() ? "-" : record.origin_kind();
  return Printable(absl::StrCat(record.origin_kind(), " ", record.origin_reference()));
}

void AddCertRevoke(CLI::App& noun, Session& session) {
  AddVerb<RevokeOptions>(noun, session, "revoke",
                         "Take identities back: a certificate, its renewals and its key get nothing more",
                         BindRevocation, Revoke);
}

}  // namespace meshca::cli
