#include "cli/server/kubernetes_facts.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ca/base/counted.h"
#include "ca/base/utc_text.h"

namespace meshca::cli {
namespace {

using State = CheckedFact::State;

// A watch hears something every minute or so; older than this, what is known of the cluster is not what is there.
constexpr absl::Duration kOld = absl::Minutes(5);

// istiod looks for its certificate once, when it starts.
CheckedFact WithEarlyPods(const ServerSecretStatus& status, CheckedFact fact) {
  if (status.early.empty()) return fact;
  fact.state = State::kWarning;
  absl::StrAppend(&fact.detail,
                  "; started before it was there, and may serve no TLS: ", absl::StrJoin(status.early, ", "));
  std::vector<std::string> commands;
  for (const std::string& one : status.early) {
    const bool alone = absl::StartsWith(one, "pod/");
    commands.push_back(
        absl::StrCat("kubectl -n ", status.secret.namespace_name, alone ? " delete " : " rollout restart ", one));
  }
  fact.mend = absl::StrJoin(commands, "; ");
  return fact;
}

CheckedFact FactOfAdmission(std::string name, const absl::Status& admission) {
  CheckedFact fact{std::move(name), State::kWarning,
                   absl::StrCat("no PodCertificateRequest is answered: ", admission.message()),
                   "mend what it names; it is looked for again every few seconds"};
  if (!absl::IsFailedPrecondition(admission)) return fact;
  fact.state = State::kFailed;
  fact.mend =
      "create it as meshca's chart does (in its sources: ca/pod_certificates/admission_policy.yaml), or set "
      "kubernetes.signer_without_policy where something else keeps strangers from creating PodCertificateRequests";
  return fact;
}

// What keeps requests from being answered. `pods`: why the cluster's pods are not followed at the moment; Ok: they are.
void AddTroubles(const RequestSignerStatus& status, const absl::Status& pods, CheckedFact& fact) {
  const absl::Status& watching = status.watching.ok() ? pods : status.watching;
  if (!watching.ok()) {
    fact.state = status.age > kOld ? State::kFailed : State::kWarning;
    absl::StrAppend(&fact.detail, "; not followed at the moment: ", watching.message());
    fact.mend = "mend what it names; it is tried again and again";
  } else if (!status.waits.empty()) {
    fact.state = State::kWarning;
    absl::StrAppend(&fact.detail, "; one of them: ", status.waits);
    fact.mend = "mend what it names; it is tried again and again, and the log says more";
  }
}

}  // namespace

CheckedFact FactOf(const kubernetes::ClusterReport& report) {
  CheckedFact fact{"cluster", State::kOk, absl::StrCat(report.api_server, ": ", Counted(report.pods, "pod")), ""};
  if (report.watch_error.ok() && report.watch_age == absl::InfiniteDuration()) {
    fact.state = State::kWarning;
    fact.detail = absl::StrCat(report.api_server, ": its pods are still being listed");
    fact.mend = "wait; where it stays so, see whether the API server answers";
  } else if (!report.watch_error.ok()) {
    const bool old = report.watch_age > kOld;
    fact.state = old ? State::kFailed : State::kWarning;
    absl::StrAppend(&fact.detail, "; not followed at the moment: ", report.watch_error.message());
    fact.mend =
        old ? "mend what it names; until then every token is asked about, and new pods get nothing while the API "
              "server is away"
            : "mend what it names; it is tried again and again, and what was known goes on counting";
  } else if (report.is_anothers) {
    fact.state = State::kWarning;
    absl::StrAppend(&fact.detail, "; tokens of its service accounts give what `authenticators` says of their issuer ",
                    report.issuer, ", whether their pods live or not");
    fact.mend = "take that issuer out of `authenticators`, unless this is what you want";
  } else if (!report.keys.error.empty()) {
    fact.state = State::kWarning;
    absl::StrAppend(&fact.detail, "; its keys: ", report.keys.error);
    fact.mend =
        "let meshca read the API server's keys (/openid/v1/jwks): the ClusterRole "
        "system:service-account-issuer-discovery";
  } else if (!report.review_error.empty()) {
    fact.state = State::kWarning;
    absl::StrAppend(&fact.detail, "; a token was asked about and not judged: ", report.review_error);
    fact.mend = "mend what it names; the next token in doubt is asked about again";
  }
  if (report.away) {
    absl::StrAppend(&fact.detail, "; it is away",
                    report.why_away.empty() ? "" : absl::StrCat(" (", report.why_away, ")"),
                    ": before it answers nothing is published, and no request that stands in the cluster is signed; "
                    "whoever asks meshca itself gets certificates as before");
    if (fact.state != State::kFailed) {
      fact.state = State::kWarning;
      fact.mend = "see why it does not answer; it is asked every second, and all goes on when it does";
    }
  }
  return fact;
}

CheckedFact FactOf(const kubernetes::LeaseStatus& status, bool signs) {
  const std::string what = signs ? "publishes, and answers requests for certificates" : "publishes";
  const std::string nothing =
      signs ? "it publishes nothing and answers no request for a certificate" : "it publishes nothing";
  const std::string since = status.since == absl::InfinitePast() ? "" : absl::StrCat(" since ", UtcText(status.since));
  CheckedFact fact{"lease", State::kOk, "", ""};
  if (status.held) {
    fact.detail = absl::StrCat(status.lease, " is held", since, ": this server ", what);
    if (status.error.ok()) return fact;
    fact.state = State::kWarning;
    absl::StrAppend(&fact.detail, "; it cannot be renewed at the moment: ", status.error.message());
    fact.mend = absl::StrCat("mend what it names; when the Lease has run out, ", nothing);
  } else if (!status.error.ok()) {
    fact.state = State::kFailed;
    fact.detail =
        absl::StrCat(status.lease, " cannot be had, so this server waits, and ", nothing, ": ", status.error.message());
    fact.mend =
        "mend what it names; the namespace of the Lease is kubernetes.lease_namespace. It is tried again and again";
  } else if (!status.gone.empty()) {
    fact.state = State::kWarning;
    fact.detail = absl::StrCat(status.lease, " ", status.gone, "; until then ", nothing);
    fact.mend = "wait until then; where it goes again and again, find who deletes or edits it";
  } else if (status.holder.empty() || status.holder == status.identity) {
    fact.state = State::kWarning;
    fact.detail = absl::StrCat(status.lease, " is being asked for; until then ", nothing);
    fact.mend = "wait a moment; where it stays so, see whether the API server answers";
  } else {
    fact.state = State::kWarning;
    fact.detail = absl::StrCat(status.lease, " is held by ", status.holder, since, ", so this server waits: ", nothing);
    fact.mend =
        "nothing, where that is a second server of the same CA. Two CAs of one trust domain in a cluster cannot both "
        "publish: end one of them, or give it a trust domain of its own";
  }
  return fact;
}

CheckedFact FactOf(const PublisherStatus& status) {
  CheckedFact fact{absl::StrCat("published ", status.object), State::kOk, "", ""};
  if (status.unserved) {
    fact.state = State::kWarning;
    fact.detail = "the API server serves no such object, so the roots are not published there";
    fact.mend = "turn its API on in the API server, or take it out of the configuration";
    return fact;
  }
  fact.detail = absl::StrCat("in ", status.places - status.behind, " of ", Counted(status.places, "place"));
  if (!status.watching.ok()) {
    fact.state = status.age > kOld ? State::kFailed : State::kWarning;
    absl::StrAppend(&fact.detail, "; not followed at the moment: ", status.watching.message());
    fact.mend = "mend what it names; it is tried again and again, and what was known goes on counting";
  } else if (status.age == absl::InfiniteDuration()) {
    fact.state = State::kWarning;
    fact.detail = "the objects are still being listed";
    fact.mend = "wait; where it stays so, see whether the API server answers";
  } else if (status.places == 0) {
    fact.state = State::kWarning;
    fact.mend = "no namespace of the cluster is one of those that are to get it: see `namespaces` and `except`";
  } else if (status.behind > 0) {
    fact.state = State::kWarning;
    if (!status.fault.empty()) absl::StrAppend(&fact.detail, "; one of them: ", status.fault);
    fact.mend = "mend what it names, it is tried again and again; meshca subscriber list names all that are behind";
  }
  return fact;
}

CheckedFact FactOf(const ServerSecretStatus& status) {
  CheckedFact fact{absl::StrCat("published ", status.secret.Text()), State::kOk, "", ""};
  if (!status.watching.ok()) {
    // By a Secret that was never read nobody is served, and nobody knows until when.
    fact.state = !status.listed || status.age > kOld ? State::kFailed : State::kWarning;
    fact.detail = absl::StrCat("not followed at the moment: ", status.watching.message());
    fact.mend = "mend what it names; it is tried again and again, and what was known goes on counting";
  } else if (!status.listed) {
    fact.state = State::kWarning;
    fact.detail = "it is still being listed";
    fact.mend = "wait; where it stays so, see whether the API server answers";
  } else if (status.behind) {
    // What stands there instead may be anything; of what is to stand there it is known when it ends.
    fact.state = !status.serial.empty() && status.as_of >= status.expires ? State::kFailed : State::kWarning;
    fact.detail = absl::StrCat("does not show what it is to", status.fault.empty() ? "" : ": ", status.fault);
    fact.mend = status.fault.empty() ? "wait; it is written as soon as the API server takes it"
                                     : "mend what it names; it is tried again and again";
  } else {
    fact.detail = absl::StrCat("certificate ", status.serial, " until ", UtcText(status.expires), ", replaced at ",
                               UtcText(status.renews));
    if (status.as_of > status.renews + kOld) {
      fact.state = status.as_of < status.expires ? State::kWarning : State::kFailed;
      absl::StrAppend(&fact.detail, ", and was not");
      fact.mend = "see the server's log, and whether its clock can be believed: it makes a new one as soon as it can";
    }
    if (!status.fault.empty()) {
      fact.state = std::max(fact.state, State::kWarning);
      absl::StrAppend(&fact.detail, "; ", status.fault);
      fact.mend = "mend what it names; it is tried again and again";
    }
    if (fact.state == State::kOk) return WithEarlyPods(status, std::move(fact));
  }
  return fact;
}

CheckedFact FactOf(const PodSignerStatus& status, const absl::Status& pods) {
  std::string name = absl::StrCat("signer ", status.signer_name);
  if (status.unserved) {
    return {std::move(name), State::kWarning, "the API server serves no PodCertificateRequests, so none is answered",
            "turn certificates.k8s.io/v1 (Kubernetes 1.37) or v1beta1 on in the API server, or take kubernetes.signer "
            "away"};
  }
  if (!status.admission.ok()) return FactOfAdmission(std::move(name), status.admission);
  CheckedFact fact{std::move(name), State::kOk, "", ""};
  fact.detail = absl::StrCat(Counted(status.issued, "pod certificate"), " since the start, ", status.denied,
                             " denied, ", Counted(status.pending, "request"), " not answered");
  if (status.awaiting > 0) {
    fact.state = State::kWarning;
    absl::StrAppend(&fact.detail, ", ", status.awaiting, " never to be signed, such as ", status.awaits);
    fact.mend = "nothing, where kubelets made them: they ask anew. Else find out who did";
  }
  AddTroubles(status, pods, fact);
  return fact;
}

CheckedFact FactOfSigningRequests(const RequestSignerStatus& status, const absl::Status& pods) {
  std::string name = "certificate signing requests";
  if (status.unserved) {
    return {std::move(name), State::kWarning,
            "the API server serves no CertificateSigningRequests, so none is answered",
            "turn certificates.k8s.io/v1 on in the API server, or take kubernetes.signer away"};
  }
  CheckedFact fact{std::move(name), State::kOk, "", ""};
  fact.detail = absl::StrCat(Counted(status.issued, "certificate"), " since the start, ", status.denied, " refused, ",
                             Counted(status.pending, "request"), " not answered");
  if (status.awaiting > 0) {
    absl::StrAppend(&fact.detail, ", ", status.awaiting, " not approved, such as ", status.awaits);
  }
  AddTroubles(status, pods, fact);
  return fact;
}

}  // namespace meshca::cli
