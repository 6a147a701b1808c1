// A workload in Node.js: @grpc/grpc-js and proto-loader on the contracts as they are; the openssl command makes the CSR
// (Node's crypto has none), node:crypto verifies the chain.
'use strict';

const { execFileSync } = require('node:child_process');
const { X509Certificate } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const SECRET_TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';

function load(protoRoot) {
  const files = ['istio/v1/auth/ca.proto', 'grpc/health/v1/health.proto', 'envoy/service/secret/v3/sds.proto',
    'envoy/extensions/transport_sockets/tls/v3/secret.proto'];
  // json: an Any whose type is loaded comes decoded, so the secret's type is loaded beside the services.
  const options = { includeDirs: [protoRoot], enums: String, bytes: String, json: true };
  return grpc.loadPackageDefinition(protoLoader.loadSync(files, options));
}

function unary(client, method, request, metadata = new grpc.Metadata()) {
  return new Promise((resolve, reject) => {
    client[method](request, metadata, { deadline: Date.now() + 60000 },
      (error, response) => (error ? reject(error) : resolve(response)));
  });
}

// Key and CSR by the openssl command.
function makeKeyAndCsr(spiffeId) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'meshca-node-'));
  try {
    const key = path.join(folder, 'key.pem');
    execFileSync('openssl', ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', key]);
    const csr = execFileSync('openssl', ['req', '-new', '-key', key, '-subj', '/', '-addext',
      `subjectAltName=critical,URI:${spiffeId}`]);
    return { key: fs.readFileSync(key), csr: csr.toString() };
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

// Each certificate is issued and signed by the next, the last by the root in the file.
function verify(elements, rootPem) {
  const chain = [...elements.slice(0, -1), rootPem].map((pem) => new X509Certificate(pem));
  for (let i = 0; i + 1 < chain.length; ++i) {
    if (!chain[i].checkIssued(chain[i + 1]) || !chain[i].verify(chain[i + 1].publicKey)) {
      throw new Error(`element ${i} is not signed by the next`);
    }
    if (chain[i].ca !== i > 0) throw new Error(`element ${i}: cA is ${chain[i].ca}`);
    if (new Date(chain[i].validTo) < new Date()) throw new Error(`element ${i} has expired`);
  }
  return chain[0];
}

// Subscribes, acknowledges the first answer, and leaves.
function firstSecret(client, name) {
  return new Promise((resolve, reject) => {
    const stream = client.StreamSecrets({ deadline: Date.now() + 60000 });
    stream.on('error', reject);
    stream.on('data', (response) => {
      stream.write({ typeUrl: SECRET_TYPE, resourceNames: [name], versionInfo: response.versionInfo,
        responseNonce: response.nonce });
      stream.end();
      resolve(response);
    });
    stream.write({ node: { id: 'node' }, typeUrl: SECRET_TYPE, resourceNames: [name] });
  });
}

async function main() {
  const options = Object.fromEntries(['server', 'sds', 'unix', 'ca', 'token', 'id', 'proto']
    .map((n) => [n, { type: 'string' }]));
  const { values } = parseArgs({ options });
  const packages = load(values.proto);
  const rootPem = fs.readFileSync(values.ca);
  const plain = grpc.credentials.createSsl(rootPem);

  const local = new packages.grpc.health.v1.Health(`unix:${values.unix}`, grpc.credentials.createInsecure());
  const unixHealth = await unary(local, 'Check', {});
  const health = await unary(new packages.grpc.health.v1.Health(values.server, plain), 'Check', {});
  const { key, csr } = makeKeyAndCsr(values.id);
  const metadata = new grpc.Metadata();
  metadata.set('authorization', `Bearer ${values.token}`);
  const { certChain } = await unary(new packages.istio.v1.auth.IstioCertificateService(values.server, plain),
    'CreateCertificate', { csr, validityDuration: 3600 }, metadata);
  const leaf = verify(certChain, rootPem);

  const own = grpc.credentials.createSsl(rootPem, key, Buffer.from(certChain.slice(0, -1).join('')));
  const response = await firstSecret(new packages.envoy.service.secret.v3.SecretDiscoveryService(values.sds, own),
    'ROOTCA');
  const secret = response.resources[0];
  const roots = secret.validationContext.trustedCa;
  console.log(JSON.stringify({
    health: health.status,
    unix_health: unixHealth.status,
    spiffe_ids: leaf.subjectAltName.split(', ').map((name) => name.replace(/^URI:/, '')),
    serial: leaf.serialNumber.toLowerCase().padStart(32, '0'),
    elements: certChain.length,
    verified_by: 'node:crypto',
    secret: secret.name,
    secret_version: response.versionInfo,
    secret_roots: roots.inlineString || Buffer.from(roots.inlineBytes, 'base64').toString(),
  }));
  process.exit(0); // channels to both addresses stay open otherwise
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
