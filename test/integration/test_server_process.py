"""The server as a process of the machine: who may reach its sockets."""

import grp
import os
import stat


def has_meshca_group():
    return any(group.gr_name == "meshca" for group in grp.getgrall())


def test_without_a_group_of_its_own_the_admin_socket_is_for_its_user_alone(server, tmp_path):
    """A socket folder that others may enter: the primary group of a user may be everybody's."""
    ca = server("--admin-socket", tmp_path / "admin.sock")
    shared = os.geteuid() == 0 and has_meshca_group()
    assert stat.S_IMODE(os.stat(tmp_path / "admin.sock").st_mode) == (0o660 if shared else 0o600)
    ca.cli("status", "--admin-socket", tmp_path / "admin.sock")
