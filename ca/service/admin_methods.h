// The methods of meshca.admin.v1.Admin as plain functions: a request in, a response out, on a thread that may block.
// admin_service.cc binds them to the edge; each noun has a file of its own.
//
// `actor` is who ordered it, for the audit log. Errors are as admin.proto says.
#ifndef MESHCA_CA_SERVICE_ADMIN_METHODS_H_
#define MESHCA_CA_SERVICE_ADMIN_METHODS_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/service/admin_context.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::admin_methods {

namespace v1 = ::meshca::admin::v1;

// What a streaming method gives its records to; false: the client is gone, stop.
template <typename Record>
using Emit = std::function<bool(const Record&)>;

// admin_status.cc
absl::StatusOr<v1::ServerStatus> GetStatus(const AdminContext&, const std::string& actor, const v1::GetStatusRequest&);
// admin_check.cc
absl::StatusOr<v1::CheckResponse> Check(const AdminContext&, const std::string& actor, const v1::CheckRequest&);
absl::StatusOr<v1::AcceptClockResponse> AcceptClock(const AdminContext&, const std::string& actor,
                                                    const v1::AcceptClockRequest&);

// admin_authorities.cc
v1::Authority AuthorityMessage(const SigningAuthority& authority, uint64_t live_certificates);
absl::StatusOr<v1::ListAuthoritiesResponse> ListAuthorities(const AdminContext&, const std::string& actor,
                                                            const v1::ListAuthoritiesRequest&);
absl::StatusOr<v1::ListAuthoritiesResponse> ImportRoot(const AdminContext&, const std::string& actor,
                                                       const v1::ImportRootRequest&);
absl::StatusOr<v1::ExportAuthorityResponse> ExportAuthority(const AdminContext&, const std::string& actor,
                                                            const v1::ExportAuthorityRequest&);
absl::StatusOr<v1::Bundle> GetBundle(const AdminContext&, const std::string& actor, const v1::GetBundleRequest&);

// admin_rotation.cc: Unimplemented where the context has no RotationControl.
absl::StatusOr<v1::RotationStatus> GetRotation(const AdminContext&, const std::string& actor,
                                               const v1::GetRotationRequest&);
absl::StatusOr<v1::RotationForecast> ForecastRotation(const AdminContext&, const std::string& actor,
                                                      const v1::ForecastRotationRequest&);
absl::StatusOr<v1::RotationStatus> BeginRotation(const AdminContext&, const std::string& actor,
                                                 const v1::BeginRotationRequest&);
absl::StatusOr<v1::RotationStatus> ActivateRoot(const AdminContext&, const std::string& actor,
                                                const v1::ActivateRootRequest&);
absl::StatusOr<v1::RotationStatus> RetireRoot(const AdminContext&, const std::string& actor,
                                              const v1::RetireRootRequest&);
absl::StatusOr<v1::RotationStatus> AbortRotation(const AdminContext&, const std::string& actor,
                                                 const v1::AbortRotationRequest&);
absl::StatusOr<v1::RotationStatus> RollBackRotation(const AdminContext&, const std::string& actor,
                                                    const v1::RollBackRotationRequest&);
absl::StatusOr<v1::ListAuthoritiesResponse> TaintAuthority(const AdminContext&, const std::string& actor,
                                                           const v1::TaintAuthorityRequest&);

v1::Laggard LaggardMessage(const Laggard& laggard);

// admin_jwt_keys.cc: Unimplemented where the context has no JwtKeyControl or no JwtMinter.
absl::StatusOr<v1::JwtKeys> ListJwtKeys(const AdminContext&, const std::string& actor, const v1::ListJwtKeysRequest&);
absl::StatusOr<v1::JwtKeys> RotateJwtKeys(const AdminContext&, const std::string& actor,
                                          const v1::RotateJwtKeysRequest&);
absl::StatusOr<v1::JwtKeys> TaintJwtKey(const AdminContext&, const std::string& actor, const v1::TaintJwtKeyRequest&);
absl::StatusOr<v1::MintJwtResponse> MintJwt(const AdminContext&, const std::string& actor, const v1::MintJwtRequest&);

// admin_certificates.cc
void FillCertificate(const IssuanceRecord& record, v1::CertificateRecord& message);
// InvalidArgument quotes `text`.
absl::StatusOr<SerialNumber> ReadSerial(const std::string& text);
absl::Status ListCertificates(const AdminContext&, const std::string& actor, const v1::ListCertificatesRequest&,
                              const Emit<v1::CertificateRecord>& emit);
absl::StatusOr<v1::CertificateRecord> GetCertificate(const AdminContext&, const std::string& actor,
                                                     const v1::GetCertificateRequest&);
absl::StatusOr<v1::RenewCertificatesResponse> RenewCertificates(const AdminContext&, const std::string& actor,
                                                                const v1::RenewCertificatesRequest&);

// admin_revocation.cc
absl::StatusOr<v1::RevokeCertificatesResponse> RevokeCertificates(const AdminContext&, const std::string& actor,
                                                                  const v1::RevokeCertificatesRequest&);

// admin_tokens.cc
absl::StatusOr<v1::CreateTokenResponse> CreateToken(const AdminContext&, const std::string& actor,
                                                    const v1::CreateTokenRequest&);
absl::StatusOr<v1::ListTokensResponse> ListTokens(const AdminContext&, const std::string& actor,
                                                  const v1::ListTokensRequest&);
absl::StatusOr<v1::DeleteTokenResponse> DeleteToken(const AdminContext&, const std::string& actor,
                                                    const v1::DeleteTokenRequest&);

// admin_entries.cc
absl::StatusOr<v1::Entry> CreateEntry(const AdminContext&, const std::string& actor, const v1::CreateEntryRequest&);
absl::StatusOr<v1::ApplyEntriesResponse> ApplyEntries(const AdminContext&, const std::string& actor,
                                                      const v1::ApplyEntriesRequest&);
absl::StatusOr<v1::ListEntriesResponse> ListEntries(const AdminContext&, const std::string& actor,
                                                    const v1::ListEntriesRequest&);
absl::StatusOr<v1::Entry> GetEntry(const AdminContext&, const std::string& actor, const v1::GetEntryRequest&);
absl::StatusOr<v1::DeleteEntryResponse> DeleteEntry(const AdminContext&, const std::string& actor,
                                                    const v1::DeleteEntryRequest&);

// admin_nodes.cc: Unimplemented where the context has no NodeStore.
absl::StatusOr<v1::ListNodesResponse> ListNodes(const AdminContext&, const std::string& actor,
                                                const v1::ListNodesRequest&);
absl::StatusOr<v1::Node> GetNode(const AdminContext&, const std::string& actor, const v1::GetNodeRequest&);
absl::StatusOr<v1::BanNodeResponse> BanNode(const AdminContext&, const std::string& actor, const v1::BanNodeRequest&);
absl::StatusOr<v1::ForgetNodeResponse> ForgetNode(const AdminContext&, const std::string& actor,
                                                  const v1::ForgetNodeRequest&);

// admin_subscribers.cc
absl::StatusOr<v1::ListSubscribersResponse> ListSubscribers(const AdminContext&, const std::string& actor,
                                                            const v1::ListSubscribersRequest&);
absl::StatusOr<v1::Subscriber> GetSubscriber(const AdminContext&, const std::string& actor,
                                             const v1::GetSubscriberRequest&);
absl::StatusOr<v1::Subscriber> EvictSubscriber(const AdminContext&, const std::string& actor,
                                               const v1::EvictSubscriberRequest&);
absl::StatusOr<v1::EvictSubscribersResponse> EvictSubscribers(const AdminContext&, const std::string& actor,
                                                              const v1::EvictSubscribersRequest&);

// admin_database.cc
absl::StatusOr<v1::BackupDatabaseResponse> BackupDatabase(const AdminContext&, const std::string& actor,
                                                          const v1::BackupDatabaseRequest&);
absl::StatusOr<v1::CheckDatabaseResponse> CheckDatabase(const AdminContext&, const std::string& actor,
                                                        const v1::CheckDatabaseRequest&);
absl::Status ListAudit(const AdminContext&, const std::string& actor, const v1::ListAuditRequest&,
                       const Emit<v1::AuditRecord>& emit);

}  // namespace meshca::admin_methods

#endif  // MESHCA_CA_SERVICE_ADMIN_METHODS_H_
