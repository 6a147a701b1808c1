// The SPIFFE Workload API for a Node.js program, over @grpc/grpc-js, and its X.509-SVIDs as node:tls wants them.
// workload.proto lies beside this file.
'use strict';

const crypto = require('node:crypto');
const path = require('node:path');
const { setTimeout: pause } = require('node:timers/promises');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const TIMEOUT_MS = 30000;
const BACKOFF_MAX_MS = 30000;

class WorkloadApi {
  constructor(endpoint) {
    const { SpiffeWorkloadAPI } = grpc.loadPackageDefinition(
      protoLoader.loadSync(path.join(__dirname, 'workload.proto'), { keepCase: true }));
    // grpc-js would name the socket's path as the authority, which is none.
    this.client = new SpiffeWorkloadAPI(endpoint, grpc.credentials.createInsecure(),
      { 'grpc.default_authority': 'localhost' });
    // The standard's mark of a caller that knows what it asks for: no web page can be made to send it.
    this.metadata = new grpc.Metadata();
    this.metadata.set('workload.spiffe.io', 'true');
  }

  // Calls onUpdate with each X.509-SVID, the first one whenever an entry gives it; asks again when the stream ends.
  async followX509Svids(onUpdate) {
    for (let backoff = 1000; ; backoff = Math.min(2 * backoff, BACKOFF_MAX_MS)) {
      try {
        for await (const response of this.client.FetchX509SVID({}, this.metadata)) {
          onUpdate(response.svids[0]); // the default one; choose by `hint` where there are several
          backoff = 1000;
        }
      } catch (error) {
        if (error.code === grpc.status.INVALID_ARGUMENT) throw error; // the one answer that does not change by itself
      }
      await pause(backoff, undefined, { ref: false });
    }
  }

  unary(method, request) {
    return new Promise((resolve, reject) => {
      this.client[method](request, this.metadata, { deadline: Date.now() + TIMEOUT_MS },
        (error, response) => (error ? reject(error) : resolve(response)));
    });
  }

  async fetchJwt(audience) {
    return (await this.unary('FetchJWTSVID', { audience: [audience] })).svids[0].svid;
  }

  // The SPIFFE ID of a JWT-SVID that was meant for `audience`; rejects any other token.
  async validateJwt(token, audience) {
    return (await this.unary('ValidateJWTSVID', { audience, svid: token })).spiffe_id;
  }
}

// --- X.509-SVIDs as node:tls wants them

// The certificates of a row of DER, one behind the other.
function splitDer(der) {
  const certificates = [];
  for (let at = 0; at < der.length;) {
    // A certificate is a SEQUENCE; its length is one byte, or the count of the bytes that hold it and those.
    const first = der[at + 1];
    const size = first < 0x80 ? 2 + first : 2 + (first & 0x7f) + der.readUIntBE(at + 2, first & 0x7f);
    certificates.push(new crypto.X509Certificate(der.subarray(at, at + size)));
    at += size;
  }
  return certificates;
}

// X509-SVID section 2: exactly one URI among the subject's alternative names, and that is the SPIFFE ID.
function spiffeIdOf(certificate) {
  const uris = (certificate?.subjectAltName ?? '').split(', ').filter((name) => name.startsWith('URI:'));
  if (uris.length !== 1) throw new Error('the peer\'s certificate has no SPIFFE ID');
  return uris[0].slice('URI:'.length);
}

// What connections are made with: one key, its chain and the roots.
function tlsOptions(svid) {
  const chain = splitDer(svid.x509_svid);
  const roots = splitDer(svid.bundle);
  const key = crypto.createPrivateKey({ key: svid.x509_svid_key, format: 'der', type: 'pkcs8' });
  return {
    leaf: chain[0],
    roots,
    options: {
      key: key.export({ format: 'pem', type: 'pkcs8' }),
      cert: chain.map((certificate) => certificate.toString()).join(''),
      ca: roots.map((certificate) => certificate.toString()),
      minVersion: 'TLSv1.2',
      // A resumed connection would be let in by a certificate of the past.
      secureOptions: crypto.constants.SSL_OP_NO_TICKET,
    },
  };
}

module.exports = { WorkloadApi, spiffeIdOf, tlsOptions };
