"""The server as a process of the machine: who may reach its sockets."""

import contextlib
import grp
import json
import os
import pathlib
import stat


def has_meshca_group():
    return any(group.gr_name == "meshca" for group in grp.getgrall())


def open_descriptors(pid):
    """What each stands for; one may be closed between the look at the folder and at the link."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(f"/proc/{pid}/fd/{fd}")


def test_without_a_group_of_its_own_the_admin_socket_is_for_its_user_alone(server, tmp_path):
    """A socket folder that others may enter: the primary group of a user may be everybody's."""
    ca = server("--admin-socket", tmp_path / "admin.sock")
    shared = os.geteuid() == 0 and has_meshca_group()
    assert stat.S_IMODE(os.stat(tmp_path / "admin.sock").st_mode) == (0o660 if shared else 0o600)
    ca.cli("status", "--admin-socket", tmp_path / "admin.sock")


def test_with_http_off_no_port_is_open_for_it_and_status_check_and_health_say_so(server):
    ca = server("--http-listen", "off")
    assert ca.http == "off", ca.first_screen
    mine = {name[8:-1] for name in open_descriptors(ca.pid) if name.startswith("socket:[")}
    listening = [line.split()[1] for line in pathlib.Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
                 if line.split()[3] == "0A" and line.split()[9] in mine]
    assert [int(address.split(":")[1], 16) for address in listening] == [int(ca.grpc.rsplit(":", 1)[1])]
    assert "gRPC health" in ca.cli("status").stdout
    fact = next(fact for fact in json.loads(ca.cli("check", "-o", "json").stdout)["facts"] if fact["name"] == "HTTP")
    assert fact["state"] == "ok" and "meshca health --service" in fact["detail"]
    ca.cli("health")
    ca.cli("health", "--service", "istio.v1.auth.IstioCertificateService")
