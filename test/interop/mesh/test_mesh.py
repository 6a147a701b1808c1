"""Services in several languages, each with its identity from a node's agent, call each other while keys are renewed, the
root is rotated and JWT keys are: no connection fails."""

import os
import re
import subprocess
import sys

import background
import mesh
import pytest


def test_two_languages_by_the_quickstart(meshca, tmp_path_factory):
    """What `cli/quickstart.sh --mesh` shows on a machine without a toolchain but its own: nothing else is on the PATH."""
    folder = tmp_path_factory.mktemp("mesh")
    support = os.path.dirname(background.__file__)
    done = subprocess.run([sys.executable, mesh.__file__, meshca, folder / "state"], text=True, capture_output=True,
                          env=dict(os.environ, PATH=str(folder), PYTHONPATH=support), timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("go", "java", "node", "rust"):
        assert re.search(f"^no {name}: .* is not here$", done.stdout, re.M), done.stdout
    title, _, told = done.stdout.partition("== connections that succeeded")
    assert "meshca root rotate" in title
    pairs = re.findall(r"\b(\d+)\+(\d+)\b", told)
    assert len(pairs) == 4 and all(int(hello) and int(jwt) for hello, jwt in pairs), told
    assert "failed: 0" in told


@pytest.mark.all_only
@pytest.mark.timeout(1800)
def test_six_languages_through_an_absent_ca_renewals_and_a_rotation(server, agent, build_dir, tmp_path):
    # The first build of all services downloads and compiles for minutes; what follows takes about four.
    programs = mesh.programs(mesh.PROGRAMS, tmp_path, build_dir)
    ca = server(*mesh.SERVE_OPTIONS)
    node = agent(ca, mesh.NODE)
    with mesh.Mesh(programs, tmp_path, node.api_socket) as services:
        reports = mesh.play(ca, node, services, lifetime_s=mesh.OUTAGE_LIFETIME_S, away_s=mesh.OUTAGE_S)
    assert mesh.failed(reports) == 0, mesh.complaints(reports)
    assert set(reports) == {"cpp", "go", "java", "node", "python", "rust"}
    for report in reports.values():
        assert len(report["peers"]) == 6
        assert all(peer["ok"] and peer["jwt_ok"] for peer in report["peers"].values())
        assert len(report["serials"]) >= 4, "renewed, signed again under the new root, and renewed again"


def test_a_service_is_refused_that_has_an_identity_nobody_expects(server, build_dir, tmp_path):
    """What the services check is checked: the same two programs, each told to expect somebody else. Here they have their
    identities from the CA's own socket."""
    folder = tmp_path / "mesh"
    ca = server(*mesh.SERVE_OPTIONS)
    with mesh.Mesh(mesh.programs(("cpp", "python"), folder, build_dir), folder, ca.api_socket) as services:
        services.create_entries(ca.cli)
        services.start(let_in=["spiffe://cluster.local/mesh/somebody-else"])
        services.wait_for_each(lambda report: report["refused"] >= 2, "refusals")
        reports = services.finish()
    for report in reports.values():
        assert all(not peer["ok"] for peer in report["peers"].values()), mesh.complaints(reports)
