"""What a workload of this user gets over the SPIFFE Workload API of a server or an agent."""

import contextlib

import grpc
import grpc_messages
from background import wait_until
from cryptography import x509

HEADER = (("workload.spiffe.io", "true"),)
# A process that was started again is found at once, whoever else has tried in vain meanwhile.
OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


def channel_to(process):
    return grpc.insecure_channel(f"unix:{process.api_socket}", options=OPTIONS)


def leaf_of(chain):
    """The first of certificates that stand one behind the other as DER."""
    return x509.load_der_x509_certificate(chain[:4 + int.from_bytes(chain[2:4], "big")])


def svids(process, timeout=60):
    """{SPIFFE ID: (chain, private key)} of the first message of FetchX509SVID, DER; grpc.RpcError."""
    with channel_to(process) as channel:
        call = channel.unary_stream("/SpiffeWorkloadAPI/FetchX509SVID",
                                    request_serializer=lambda message: message.SerializeToString(),
                                    response_deserializer=grpc_messages.message("X509SVIDResponse").FromString)
        stream = call(grpc_messages.message("X509SVIDRequest")(), metadata=HEADER, timeout=timeout)
        answer = next(stream)
        stream.cancel()
        return {svid.spiffe_id: (svid.x509_svid, svid.x509_svid_key) for svid in answer.svids}


def served(process, count=1):
    """The same, once `count` identities have come."""

    def all_of_them():
        with contextlib.suppress(grpc.RpcError):
            got = svids(process)
            return got if len(got) == count else None

    return wait_until(all_of_them, 60, process.log)


def jwt_svids(process, audience, timeout=60):
    """{SPIFFE ID: token} by FetchJWTSVID; grpc.RpcError."""
    with channel_to(process) as channel:
        call = channel.unary_unary("/SpiffeWorkloadAPI/FetchJWTSVID",
                                   request_serializer=lambda message: message.SerializeToString(),
                                   response_deserializer=grpc_messages.message("JWTSVIDResponse").FromString)
        answer = call(grpc_messages.message("JWTSVIDRequest")(audience=[audience]), metadata=HEADER, timeout=timeout)
        return {svid.spiffe_id: svid.svid for svid in answer.svids}
