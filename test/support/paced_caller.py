"""A workload with a certificate that renews it again and again, each call measured: what the others do to it shows here.

`paced_caller.py JSON` (host_port, roots, certificate, key, csr) says "ready" when its connection stands, calls until
stdin ends, then prints the seconds of each call on that connection and of each call on a new connection as JSON. A
process of its own, so that nothing in a test's process is measured with it.
"""

import json
import select
import sys
import time

import grpc
import grpc_messages

CREATE = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
PACE = 0.02
NEW_CONNECTION_EVERY = 20
TIMEOUT = 60


def main():
    target = json.loads(sys.argv[1])
    request = grpc_messages.message("istio.v1.auth.IstioCertificateRequest")(csr=target["csr"])

    def connect():
        options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
        credentials = grpc.ssl_channel_credentials(*(target[name].encode() for name in ("roots", "key", "certificate")))
        return grpc.secure_channel("{}:{}".format(*target["host_port"]), credentials, options=options)

    def measured(channel):
        began = time.monotonic()
        grpc_messages.call(channel, CREATE)(request, timeout=TIMEOUT)
        return time.monotonic() - began

    took = {"calls": [], "new_connections": []}
    with connect() as kept:
        for _ in range(10):
            measured(kept)
        print("ready", flush=True)
        while not select.select([0], [], [], PACE)[0]:
            if len(took["calls"]) % NEW_CONNECTION_EVERY == 0:
                with connect() as another:
                    took["new_connections"].append(measured(another))
            took["calls"].append(measured(kept))
    print(json.dumps(took))


if __name__ == "__main__":
    main()
