"""Writes an image of one layer as an OCI image layout (image-spec 1.1): blobs under the names of their digests, an index, and
the bill of materials as an artifact that refers to the image, which registries hand out with it."""

import dataclasses
import datetime
import gzip
import hashlib
import io
import json
import platform
import shutil

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
SPDX = "application/spdx+json"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a container of the image is like unless told otherwise."""
    user: str
    entrypoint: list
    ports: list
    labels: dict


class _Blobs:
    def __init__(self, folder):
        self._folder = folder / "blobs" / "sha256"
        self._folder.mkdir(parents=True)

    def add(self, media_type, content):
        """Its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        (self._folder / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def add_json(self, media_type, value):
        return self.add(media_type, _json(value))


def _json(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def compressed(layer):
    """By gzip, with no time and no name in it: the same bytes each time."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=out, mtime=0) as packer:
        packer.write(layer)
    return out.getvalue()


def refuse_other_folder(folder):
    """A folder that holds something else than an image is not emptied."""
    assert not folder.exists() or (folder / "oci-layout").exists() or not any(folder.iterdir()), (
        f"{folder} holds something else than an image")


def write(folder, layer, sbom, date, tag, settings):
    """Makes `folder` anew and returns the image's digest. `layer`: a tar; `date`: seconds since 1970."""
    refuse_other_folder(folder)
    if folder.exists():
        shutil.rmtree(folder)
    blobs = _Blobs(folder)
    created = datetime.datetime.fromtimestamp(date, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    machine = {"architecture": ARCHITECTURES[platform.machine()], "os": "linux"}
    config = blobs.add_json("application/vnd.oci.image.config.v1+json", {
        **machine, "created": created,
        "config": {"User": settings.user, "Entrypoint": settings.entrypoint, "WorkingDir": "/", "Env": ["PATH=/usr/bin"],
                   "ExposedPorts": {port: {} for port in settings.ports}, "Labels": settings.labels},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": created, "created_by": "charts/image/build.py"}]})
    image = blobs.add_json(MANIFEST, {
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "annotations": settings.labels,
        "layers": [blobs.add("application/vnd.oci.image.layer.v1.tar+gzip", compressed(layer))]})
    about = blobs.add_json(MANIFEST, {
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": SPDX, "subject": image,
        "config": blobs.add("application/vnd.oci.empty.v1+json", b"{}"), "layers": [blobs.add(SPDX, sbom.encode())]})
    (folder / "index.json").write_bytes(_json({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
            {**image, "platform": machine, "annotations": {"org.opencontainers.image.ref.name": tag}},
            {**about, "artifactType": SPDX}]}))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    (folder / "sbom.spdx.json").write_text(sbom, encoding="utf-8")
    return image["digest"]
