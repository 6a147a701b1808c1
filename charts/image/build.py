#!/usr/bin/env python3
"""Builds meshca's container image on this machine, without a daemon and without root: an OCI image layout in a folder.

    charts/image/build.py                        build/release/meshca --> build/image/
    charts/image/build.py --binary F --out DIR --tag 0.2.0

The image holds the command, the shared libraries that it loads, the public roots for https and nothing else: no shell, no
package manager. The libraries are those of this machine, which is the Debian that the command was built on. The same inputs
give the same bytes: times are those of the source, owners and orders are fixed.

    skopeo copy oci:build/image:0.2.0 docker://registry.example/meshca:0.2.0        brings it to a registry
    umoci unpack --image build/image:0.2.0 bundle                                   shows what is in it
"""

import argparse
import pathlib
import re
import subprocess
import sys

import oci_layout
import root_filesystem
import spdx

ROOT = pathlib.Path(__file__).resolve().parents[2]


def source_date():
    """Seconds since 1970: SOURCE_DATE_EPOCH where it is set, else the last commit's, else the one that is written down."""
    by_hand = root_filesystem.environment_number("SOURCE_DATE_EPOCH")
    if by_hand is not None:
        return by_hand
    asked = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False)
    return int(asked.stdout or (ROOT / "ca" / "base" / "source_date.txt").read_text(encoding="ascii"))


def version_of(binary):
    said = subprocess.run([binary, "version"], capture_output=True, text=True, check=True).stdout
    return re.fullmatch(r"meshca (\S+)\s*", said).group(1)


def build(binary, out, tag=None):
    """The digest of the image that now lies in the folder `out`."""
    oci_layout.refuse_other_folder(out)
    version, date = version_of(binary), source_date()
    files = root_filesystem.RootFilesystem()
    packages = root_filesystem.fill(files, binary)
    document = spdx.document(version, date, binary, packages)
    files.add_text("/usr/share/doc/meshca/sbom.spdx.json", document)
    layer = files.to_tar(date)
    return oci_layout.write(out, layer, document, date, tag or version, oci_layout.Settings(
        user="65532:65532", entrypoint=["/usr/bin/meshca"], ports=["15012/tcp", "15014/tcp"], labels={
            "org.opencontainers.image.title": "meshca",
            "org.opencontainers.image.description": "The certificate authority and identity service of a service mesh",
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.licenses": "Apache-2.0"}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build" / "release" / "meshca", help="the meshca command")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build" / "image", help="folder of the layout; made anew")
    parser.add_argument("--tag", help="the image's name in the layout; else meshca's version")
    options = parser.parse_args()
    try:
        digest = build(options.binary.resolve(), options.out, options.tag)
    except (AssertionError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"build.py: {error}")
    print(f"image   {options.out}  {digest}\nSBOM    {options.out / 'sbom.spdx.json'}")


if __name__ == "__main__":
    main()
