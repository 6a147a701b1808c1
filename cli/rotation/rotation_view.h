// The rotation of the root in words for people. Pure: what is shown is in the message, its clock included.
#ifndef MESHCA_CLI_ROTATION_ROTATION_VIEW_H_
#define MESHCA_CLI_ROTATION_ROTATION_VIEW_H_

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "meshca/admin/v1/admin.pb.h"

namespace meshca::cli {

// `meshca root status`: where it stands, who is behind and what helps, every root, what may be done next.
void PrintRotation(const meshca::admin::v1::RotationStatus& status, std::FILE* out);
// `meshca root rotate --plan`.
void PrintForecast(const meshca::admin::v1::RotationForecast& forecast, std::FILE* out);

// What an emergency will do, said before it does it: a sentence a line; none for any other rotation.
std::vector<std::string> EmergencyLines(const meshca::admin::v1::RotationStatus& status);

// One line: "distribute (step 2 of 5): 2 of 40 subscribers and 12 certificates are behind; ..."
std::string RotationLine(const meshca::admin::v1::RotationStatus& status);
// For the terminal, drawn again and again: step, bar, what it waits for, what is wrong, and `laggards_max` of those who
// are behind.
std::vector<std::string> RotationLines(const meshca::admin::v1::RotationStatus& status, size_t laggards_max);
// How much of the way lies behind, from 0 to 1: each step is a fifth, and within one those who are done with it count.
double RotationPart(const meshca::admin::v1::RotationStatus& status);

// "spiffe://td/web on node-1 (i-1): holds bundle 3, needs 4; since 2026-... (3 min)".
std::string LaggardLine(const meshca::admin::v1::Laggard& laggard, const meshca::admin::v1::RotationStatus& status);
// The command or step that helps; "" where it said so itself.
std::string LaggardAdvice(const meshca::admin::v1::Laggard& laggard);

// "3f9a12cd6b70..": enough of an id to tell roots apart.
std::string ShortId(absl::string_view id);

}  // namespace meshca::cli

#endif  // MESHCA_CLI_ROTATION_ROTATION_VIEW_H_
