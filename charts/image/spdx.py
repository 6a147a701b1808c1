"""The software bill of materials: which Debian packages the image is made of, as an SPDX 2.3 document in JSON."""

import datetime
import hashlib
import json


def document(version, date, binary, packages):
    """`date`: seconds since 1970. The text is the same for the same image."""
    digest = hashlib.sha256(binary.read_bytes()).hexdigest()
    meshca = {**_package("meshca", "meshca", version), "licenseDeclared": "Apache-2.0", "supplier": "NOASSERTION",
              "primaryPackagePurpose": "APPLICATION", "checksums": [{"algorithm": "SHA256", "checksumValue": digest}]}
    made = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"meshca-{version}",
        # Has to be another one for another document: the packages' versions are in it beside the command.
        "documentNamespace": f"https://spdx.org/spdxdocs/meshca-{version}-{_fingerprint(digest, packages)}",
        "creationInfo": {"created": datetime.datetime.fromtimestamp(date, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                         "creators": ["Tool: meshca-image-build"]},
        "packages": [meshca, *(_debian_package(package) for package in packages)],
        "relationships": [_relationship("SPDXRef-DOCUMENT", "DESCRIBES", "meshca"),
                          *(_relationship(_id("meshca"), "STATIC_LINK" if package.linked_in else "DEPENDS_ON", package.name)
                            for package in packages)]}
    return json.dumps(made, indent=1) + "\n"


def _fingerprint(digest, packages):
    return hashlib.sha256(repr((digest, packages)).encode()).hexdigest()[:32]


def _id(name):
    # Letters, digits, dots and hyphens alone may stand in one.
    return "SPDXRef-" + name.replace("+", ".plus.").replace("_", "-")


def _package(name, identifier, version):
    return {"SPDXID": _id(identifier), "name": name, "versionInfo": version, "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION"}


def _debian_package(package):
    quoted = package.version.replace("+", "%2B").replace(":", "%3A")
    purl = f"pkg:deb/debian/{package.name.replace('+', '%2B')}@{quoted}?arch={package.architecture}&distro=debian-12"
    return {**_package(package.name, package.name, package.version), "supplier": "Organization: Debian",
            "primaryPackagePurpose": "LIBRARY",
            "sourceInfo": f"built from the source package {package.source} {package.source_version}; "
                          f"licences in /usr/share/doc/{package.name}/copyright",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]}


def _relationship(subject, kind, name):
    return {"spdxElementId": subject, "relationshipType": kind, "relatedSpdxElement": _id(name)}
