//! A service in a mesh, in Rust: identity by `spiffe`, mTLS by rustls with `spiffe-rustls`. README.md in the folder above
//! has the contract.
//!
//!     SPIFFE_ENDPOINT_SOCKET=unix:///run/meshca/api.sock service SPIFFE_ID...

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use spiffe::{JwtSource, JwtSvid, SpiffeId, X509Source};
use spiffe_rustls::{authorizer, mtls_client, mtls_server};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::prelude::{FromDer, X509Certificate};

const PAUSE: Duration = Duration::from_millis(100); // between two calls
const JWT_EVERY: usize = 10; // rounds over all peers
const TIMEOUT: Duration = Duration::from_secs(30);
const ERRORS_MAX: usize = 5;
const LINE_BYTES_MAX: u64 = 16384;

type Failure = Box<dyn Error + Send + Sync>;

/// One peer that is called: how, and what came of it.
struct Peer {
    id: String,
    address: String,
    connector: TlsConnector, // accepts this peer's SPIFFE ID alone
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    ok: u64,
    failed: u64,
    jwt_ok: u64,
    jwt_failed: u64,
    errors: Vec<String>,
}

#[derive(Default)]
struct Seen {
    refused: u64,
    refusals: Vec<String>,
    serials: Vec<String>,
    roots: Vec<String>,
}

struct Service {
    id: SpiffeId,
    x509: X509Source, // both follow the Workload API by themselves
    jwt: JwtSource,
    peers: Mutex<BTreeMap<String, Arc<Peer>>>,
    seen: Mutex<Seen>,
    stopping: AtomicBool,
}

impl Service {
    /// Waits until the process has an identity.
    async fn new() -> Result<Self, Failure> {
        let x509 = X509Source::new().await?;
        let jwt = JwtSource::new().await?;
        let id = x509.svid()?.spiffe_id().clone();
        Ok(Self { id, x509, jwt, peers: Mutex::default(), seen: Mutex::default(), stopping: AtomicBool::new(false) })
    }

    // --- the server

    /// Serves whoever presents one of the SPIFFE IDs in `let_in`; returns the address.
    async fn listen(self: &Arc<Self>, let_in: Vec<String>) -> Result<String, Failure> {
        // spiffe-rustls neither resumes connections nor offers it: a resumed one would be let in by a certificate of the past.
        let config = mtls_server(self.x509.clone()).authorize(authorizer::exact(let_in)?).build()?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let service = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, acceptor) = (Arc::clone(&service), acceptor.clone());
                tokio::spawn(async move {
                    if let Err(error) = within_time(service.serve(acceptor, socket)).await {
                        let mut seen = service.seen.lock().unwrap();
                        seen.refused += 1;
                        note(&mut seen.refusals, &error.to_string());
                    }
                });
            }
        });
        Ok(address)
    }

    async fn serve(&self, acceptor: TlsAcceptor, socket: TcpStream) -> Result<(), Failure> {
        let mut connection = acceptor.accept(socket).await?;
        let request = read_line(&mut connection).await?;
        write_line(&mut connection, &self.answer(&request)).await?;
        Ok(connection.shutdown().await?)
    }

    fn answer(&self, request: &str) -> String {
        let Some(token) = request.strip_prefix("jwt ") else {
            return self.id.to_string();
        };
        match JwtSvid::parse_and_validate(token, &self.jwt, &[self.id.to_string()]) {
            Ok(svid) => svid.spiffe_id().to_string(),
            Err(error) => format!("error {error}"),
        }
    }

    // --- the client

    /// One request by a new connection; fails unless the server's certificate has the peer's SPIFFE ID.
    async fn call(&self, peer: &Peer, request: &str) -> Result<String, Failure> {
        let socket = TcpStream::connect(&peer.address).await?;
        // rustls wants a name; the SPIFFE ID is what is compared.
        let mut connection = peer.connector.connect(ServerName::try_from("mesh")?, socket).await?;
        write_line(&mut connection, request).await?;
        read_line(&mut connection).await
    }

    async fn hello(&self, peer: &Peer) -> Result<(), Failure> {
        expect(&self.call(peer, "hello").await?, &peer.id)
    }

    async fn hello_by_jwt(&self, peer: &Peer) -> Result<(), Failure> {
        let svid = self.jwt.fetch_jwt_svid([&peer.id]).await?;
        expect(&self.call(peer, &format!("jwt {}", svid.token())).await?, &self.id.to_string())
    }

    async fn call_peers(&self) {
        for round in 0.. {
            let peers: Vec<_> = self.peers.lock().unwrap().values().cloned().collect();
            for peer in &peers {
                let by_jwt = round % JWT_EVERY == 0;
                let result = match by_jwt {
                    true => within_time(self.hello_by_jwt(peer)).await,
                    false => within_time(self.hello(peer)).await,
                };
                peer.count(by_jwt, result);
                if self.stopping.load(Ordering::Relaxed) {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
            if peers.is_empty() {
                if self.stopping.load(Ordering::Relaxed) {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    // --- what it is told and tells

    fn add_peer(&self, id: &str, address: &str) -> Result<(), Failure> {
        let config = mtls_client(self.x509.clone()).authorize(authorizer::exact([id])?).build()?;
        let connector = TlsConnector::from(Arc::new(config));
        let peer = Peer { id: id.to_owned(), address: address.to_owned(), connector, counts: Mutex::default() };
        self.peers.lock().unwrap().insert(id.to_owned(), Arc::new(peer));
        Ok(())
    }

    /// Keeps which serial numbers and roots there were; nothing of the mesh needs it.
    async fn remember_updates(&self) -> Result<(), Failure> {
        let mut updates = self.x509.updated();
        loop {
            let context = self.x509.x509_context()?;
            let svid = context.default_svid().ok_or("no X.509-SVID")?;
            let (_, leaf) = X509Certificate::from_der(svid.cert_chain()[0].as_bytes())?;
            let serial = hex(&leaf.tbs_certificate.serial.to_bytes_be());
            let bundle = context.bundle_set().get(self.id.trust_domain()).ok_or("no roots")?;
            {
                let mut seen = self.seen.lock().unwrap();
                remember(&mut seen.serials, serial);
                for root in bundle.authorities() {
                    remember(&mut seen.roots, hex(&Sha256::digest(root.as_bytes())));
                }
            }
            updates.changed().await?;
        }
    }

    fn report(&self) -> Value {
        let peers: serde_json::Map<_, _> =
            self.peers.lock().unwrap().values().map(|peer| (peer.id.clone(), peer.report())).collect();
        let seen = self.seen.lock().unwrap();
        json!({"peers": peers, "refused": seen.refused, "refusals": seen.refusals, "serials": seen.serials,
               "roots": seen.roots})
    }
}

impl Peer {
    fn count(&self, by_jwt: bool, result: Result<(), Failure>) {
        let mut counts = self.counts.lock().unwrap();
        match (by_jwt, result.is_ok()) {
            (false, true) => counts.ok += 1,
            (false, false) => counts.failed += 1,
            (true, true) => counts.jwt_ok += 1,
            (true, false) => counts.jwt_failed += 1,
        }
        if let Err(error) = result {
            note(&mut counts.errors, &format!("{}{error}", if by_jwt { "jwt: " } else { "" }));
        }
    }

    fn report(&self) -> Value {
        let counts = self.counts.lock().unwrap();
        json!({"ok": counts.ok, "failed": counts.failed, "jwt_ok": counts.jwt_ok, "jwt_failed": counts.jwt_failed,
               "errors": counts.errors})
    }
}

fn expect(told: &str, expected: &str) -> Result<(), Failure> {
    match told == expected {
        true => Ok(()),
        false => Err(format!("answered {told:?}").into()),
    }
}

fn remember(seen: &mut Vec<String>, value: String) {
    if !seen.contains(&value) {
        seen.push(value);
    }
}

fn note(texts: &mut Vec<String>, text: &str) {
    if texts.len() < ERRORS_MAX {
        texts.push(text.to_owned());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn within_time<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(TIMEOUT, work).await?
}

async fn write_line(connection: &mut (impl AsyncWrite + Unpin), line: &str) -> Result<(), Failure> {
    connection.write_all(format!("{line}\n").as_bytes()).await?;
    Ok(connection.flush().await?)
}

async fn read_line(connection: &mut (impl AsyncRead + Unpin)) -> Result<String, Failure> {
    let mut line = String::new();
    BufReader::new(connection.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    Ok(line.strip_suffix('\n').ok_or("no line from the peer")?.to_owned())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let service = Arc::new(Service::new().await?);
    let address = service.listen(std::env::args().skip(1).collect()).await?;
    println!("{}", json!({"spiffe_id": service.id.to_string(), "address": address}));
    let remembering = Arc::clone(&service);
    tokio::spawn(async move { remembering.remember_updates().await });
    let calling = Arc::clone(&service);
    let calls = tokio::spawn(async move { calling.call_peers().await });

    let mut input = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = input.next_line().await? {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["peer", id, address] => service.add_peer(id, address)?,
            ["report"] => println!("{}", service.report()),
            _ => return Err(format!("cannot read this line: {line}").into()),
        }
    }
    service.stopping.store(true, Ordering::Relaxed);
    calls.await?;
    println!("{}", service.report());
    Ok(())
}
