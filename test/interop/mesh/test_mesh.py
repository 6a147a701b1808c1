"""Services in several languages, each with its identity from the Workload API, call each other while keys are renewed, the
root is rotated and JWT keys are: no connection fails."""

import mesh
import pytest


@pytest.mark.timeout(300)
@pytest.mark.parametrize("languages", [
    pytest.param(("cpp", "python"), id="two_languages"),
    pytest.param(("cpp", "go", "node", "python"), id="four_languages",
                 marks=[pytest.mark.all_only, pytest.mark.timeout(900)]),
])
def test_nobody_fails_to_reach_anybody_through_renewals_and_a_rotation(server, build_dir, tmp_path, languages):
    # The first build of all services downloads and compiles for many minutes; what follows takes about two.
    folder = tmp_path / "mesh"
    programs = mesh.programs(languages, folder, build_dir)
    ca = server(*mesh.SERVE_OPTIONS)
    with mesh.Mesh(programs, folder, ca.api_socket) as services:
        reports = mesh.play(ca, services)
    with_jwts = mesh.mints_jwts(ca)
    assert mesh.failed(reports, with_jwts) == 0, mesh.complaints(reports)
    assert set(reports) == set(languages)
    for report in reports.values():
        assert len(report["peers"]) == len(languages)
        assert all(peer["ok"] for peer in report["peers"].values())
        assert len(report["serials"]) >= 3, "its own key was renewed, and signed again under the new root"


def test_a_service_is_refused_that_has_an_identity_nobody_expects(server, build_dir, tmp_path):
    """What the services check is checked: the same two programs, each told to expect somebody else."""
    folder = tmp_path / "mesh"
    ca = server(*mesh.SERVE_OPTIONS)
    with mesh.Mesh(mesh.programs(("cpp", "python"), folder, build_dir), folder, ca.api_socket) as services:
        services.create_entries(ca.cli)
        services.start(let_in=["spiffe://cluster.local/mesh/somebody-else"])
        services.wait_for_each(lambda report: report["refused"] >= 2, "refusals")
        reports = services.finish()
    for report in reports.values():
        assert all(not peer["ok"] for peer in report["peers"].values()), mesh.complaints(reports)
