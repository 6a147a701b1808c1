// A service in a mesh, in Node.js: identity by the SPIFFE Workload API (workload_api.js), mTLS by node:tls. README.md in the
// folder above has the contract.
//
//   SPIFFE_ENDPOINT_SOCKET=unix:///run/meshca/api.sock node service.js SPIFFE_ID...
'use strict';

const crypto = require('node:crypto');
const readline = require('node:readline');
const { once } = require('node:events');
const { setTimeout: pause } = require('node:timers/promises');
const tls = require('node:tls');
const { WorkloadApi, spiffeIdOf, tlsOptions } = require('./workload_api');

const PAUSE_MS = 100; // between two calls
const JWT_EVERY = 10; // rounds over all peers
const TIMEOUT_MS = 30000;
const ERRORS_MAX = 5;
const LINE_BYTES_MAX = 16384;

class Service {
  constructor(api, letIn) {
    this.api = api;
    this.letIn = new Set(letIn);
    this.peers = new Map(); // SPIFFE ID -> address and counts
    this.told = { refused: 0, refusals: [], serials: [], roots: [] };
  }

  // A renewed key or another root: connections from now on use it.
  takeUpdate(svid) {
    this.spiffeId ??= svid.spiffe_id;
    this.identity = tlsOptions(svid);
    this.server?.setSecureContext(this.identity.options);
    remember(this.told.serials, this.identity.leaf.serialNumber.toLowerCase());
    for (const root of this.identity.roots) {
      remember(this.told.roots, crypto.createHash('sha256').update(root.raw).digest('hex'));
    }
  }

  async listen() {
    const refuse = (error) => {
      this.told.refused += 1;
      note(this.told.refusals, error);
    };
    this.server = tls.createServer({ ...this.identity.options, requestCert: true, rejectUnauthorized: true,
      handshakeTimeout: TIMEOUT_MS });
    this.server.on('secureConnection', (socket) => this.serve(socket).catch(refuse));
    this.server.on('tlsClientError', refuse);
    this.server.listen(0, '127.0.0.1', 128);
    await once(this.server, 'listening');
    return `127.0.0.1:${this.server.address().port}`;
  }

  // The chain was verified by the handshake; whose it has to be is said here.
  async serve(socket) {
    try {
      const peer = spiffeIdOf(socket.getPeerX509Certificate());
      if (!this.letIn.has(peer)) throw new Error(`the peer is ${peer}, who is not expected here`);
      socket.end(`${await this.answer(await readLine(socket))}\n`);
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  async answer(request) {
    if (!request.startsWith('jwt ')) return this.spiffeId;
    try {
      return await this.api.validateJwt(request.slice('jwt '.length), this.spiffeId);
    } catch (error) {
      return `error ${error.message}`;
    }
  }

  // One request by a new connection; rejects unless the server's certificate has the SPIFFE ID `peer`.
  async call(peer, address, request) {
    const [host, port] = address.split(':');
    const socket = tls.connect({
      ...this.identity.options,
      host,
      port: Number(port),
      // In place of node's comparison of host names; the chain is verified all the same.
      checkServerIdentity: (unused, certificate) => {
        const id = spiffeIdOf(new crypto.X509Certificate(certificate.raw));
        return id === peer ? undefined : new Error(`the peer is ${id}, not ${peer}`);
      },
    });
    try {
      await once(socket, 'secureConnect', { signal: AbortSignal.timeout(TIMEOUT_MS) });
      socket.write(`${request}\n`);
      return await readLine(socket);
    } finally {
      socket.destroy();
    }
  }

  async callWithJwt(peer, address) {
    return this.call(peer, address, `jwt ${await this.api.fetchJwt(peer)}`);
  }

  async callPeers() {
    for (let round = 0; !this.stopping; round += 1) {
      const prefix = round % JWT_EVERY === 0 ? 'jwt_' : '';
      for (const [peer, { address, counts }] of [...this.peers]) {
        try {
          const told = prefix ? await this.callWithJwt(peer, address) : await this.call(peer, address, 'hello');
          if (told !== (prefix ? this.spiffeId : peer)) throw new Error(`answered "${told}"`);
          counts[`${prefix}ok`] += 1;
        } catch (error) {
          counts[`${prefix}failed`] += 1;
          note(counts.errors, prefix + error);
        }
        if (this.stopping) return;
        await pause(PAUSE_MS);
      }
      if (this.peers.size === 0) await pause(PAUSE_MS);
    }
  }

  addPeer(spiffeId, address) {
    this.peers.set(spiffeId, { address, counts: { ok: 0, failed: 0, jwt_ok: 0, jwt_failed: 0, errors: [] } });
  }

  report() {
    return { peers: Object.fromEntries([...this.peers].map(([peer, { counts }]) => [peer, counts])), ...this.told };
  }
}

function remember(seen, value) {
  if (!seen.includes(value)) seen.push(value);
}

function note(texts, error) {
  if (texts.length < ERRORS_MAX) texts.push(String(error));
}

// The one line that the peer sends.
function readLine(socket) {
  return new Promise((resolve, reject) => {
    let received = '';
    socket.setEncoding('utf8');
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('the peer takes too long')));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the connection ended before the line')));
    socket.on('data', (text) => {
      received += text;
      if (received.includes('\n')) resolve(received.slice(0, received.indexOf('\n')));
      else if (received.length > LINE_BYTES_MAX) socket.destroy(new Error('the peer\'s line is too long'));
    });
  });
}

function tell(value) {
  console.log(JSON.stringify(value));
}

async function main() {
  const api = new WorkloadApi(process.env.SPIFFE_ENDPOINT_SOCKET);
  const service = new Service(api, process.argv.slice(2));
  await new Promise((resolve, reject) => {
    api.followX509Svids((svid) => {
      service.takeUpdate(svid);
      resolve();
    }).catch(reject);
  });
  tell({ spiffe_id: service.spiffeId, address: await service.listen() });

  const calls = service.callPeers();
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [word, ...rest] = line.split(' ');
    if (word === 'peer') service.addPeer(...rest);
    else if (word === 'report') tell(service.report());
  }
  service.stopping = true;
  await calls;
  tell(service.report());
  process.exit(0); // the stream of updates would go on
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
