"""Nodes for a load: join tokens and entries, made by the admin socket a thousand at a time."""

import pathlib
import sys
from concurrent import futures

import grpc

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "test" / "support"))

import grpc_messages  # noqa: E402

TOKEN_LIFETIME_S = 3600


def join_tokens(server, count, replace=False):
    """A file with a token a line, for nodes bench-0, bench-1 and so on. Secret: for the load alone. `replace`: for nodes that
    have joined already."""
    request = grpc_messages.message("meshca.admin.v1.CreateTokenRequest")
    path = server.folder / "join-tokens"
    path.touch(mode=0o600)
    with grpc.insecure_channel(f"unix:{server.admin_socket}") as channel:
        create = grpc_messages.call(channel, "/meshca.admin.v1.Admin/CreateToken")
        with futures.ThreadPoolExecutor(8) as pool:  # few enough that the server does not refuse the operator
            made = pool.map(lambda number: create(request(node=f"bench-{number}", replace=replace,
                                                          ttl={"seconds": TOKEN_LIFETIME_S}),
                                                  timeout=60).token, range(count))
            path.write_text("".join(f"{token}\n" for token in made))
    return path


def entries_of_nodes(server, count):
    """So many identities that every agent of a node bench-N may hold, and no consumer of this host."""
    for number in range(count):
        server.cli("entry", "create", f"spiffe://cluster.local/ns/bench/sa/service-{number}", "--selector",
                   "unix:user:nobody-runs-this", "--node", "bench-*")
