"""Services in several languages, each with its identity from a node's agent, call each other while keys are renewed, the
root is rotated and JWT keys are: no connection fails."""

import mesh
import pytest


def held_through(ca, node, programs, folder, **times):
    """Plays the story with these services: every pair called, none failed, keys were renewed."""
    with mesh.Mesh(programs, folder, node.api_socket) as services:
        reports = mesh.play(ca, node, services, **times)
    assert mesh.failed(reports) == 0, mesh.complaints(reports)
    assert set(reports) == set(programs)
    for report in reports.values():
        assert len(report["peers"]) == len(programs)
        assert all(peer["ok"] and peer["jwt_ok"] for peer in report["peers"].values())
        assert len(report["serials"]) >= 4, "renewed, signed again under the new root, and renewed again"


def test_two_languages_through_renewals_and_a_rotation(server, agent, build_dir, tmp_path):
    programs = mesh.programs(("cpp", "python"), tmp_path / "mesh", build_dir)
    ca = server(*mesh.SERVE_OPTIONS)
    held_through(ca, agent(ca, mesh.NODE), programs, tmp_path / "mesh")


@pytest.mark.all_only
@pytest.mark.timeout(1800)
def test_six_languages_through_an_absent_ca_renewals_and_a_rotation(server, agent, build_dir, tmp_path):
    # The first build of all services downloads and compiles for minutes; what follows takes about four.
    programs = mesh.programs(mesh.PROGRAMS, tmp_path / "mesh", build_dir)
    assert len(programs) == 6
    ca = server(*mesh.SERVE_OPTIONS)
    held_through(ca, agent(ca, mesh.NODE), programs, tmp_path / "mesh", lifetime_s=mesh.OUTAGE_LIFETIME_S,
                 away_s=mesh.OUTAGE_S)


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
