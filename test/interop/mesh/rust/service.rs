//! A service in a mesh, in Rust: identity by `spiffe`, mTLS by rustls with `spiffe-rustls`. README.md in the folder above
//! has the contract; report.rs counts for it.
//!
//!     SPIFFE_ENDPOINT_SOCKET=unix:///run/meshca/api.sock service SPIFFE_ID...

mod report;

use std::error::Error;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use report::Report;
use serde_json::json;
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
const LINE_BYTES_MAX: u64 = 16384;

type Failure = Box<dyn Error + Send + Sync>;

/// Whom to call, and how.
struct Peer {
    id: String,
    address: String,
    connector: TlsConnector, // accepts this peer's SPIFFE ID alone
}

struct Service {
    id: SpiffeId,
    x509: X509Source, // both follow the Workload API by themselves
    jwt: JwtSource,
    report: Report,
    peers: Mutex<Vec<Arc<Peer>>>,
    stopping: AtomicBool,
}

impl Service {
    /// Waits until the process has an identity.
    async fn new() -> Result<Self, Failure> {
        let x509 = X509Source::new().await?;
        let jwt = JwtSource::new().await?;
        let id = x509.svid()?.spiffe_id().clone();
        Ok(Self { id, x509, jwt, report: Report::default(), peers: Mutex::default(), stopping: AtomicBool::new(false) })
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
                        service.report.count_refusal(error.to_string());
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

    // --- what it does all day

    /// Calls one peer after the other until it is told to stop.
    async fn call_peers(&self) {
        for round in 0.. {
            let by_jwt = round % JWT_EVERY == 0;
            let peers = self.peers.lock().unwrap().clone();
            for peer in &peers {
                let result = match by_jwt {
                    true => within_time(self.hello_by_jwt(peer)).await,
                    false => within_time(self.hello(peer)).await,
                };
                self.report.count(&peer.id, by_jwt, result.err().map(|error| error.to_string()));
                if self.pause_or_stop().await {
                    return;
                }
            }
            if peers.is_empty() && self.pause_or_stop().await {
                return;
            }
        }
    }

    async fn pause_or_stop(&self) -> bool {
        tokio::time::sleep(PAUSE).await;
        self.stopping.load(Ordering::Relaxed)
    }

    fn add_peer(&self, id: &str, address: &str) -> Result<(), Failure> {
        let config = mtls_client(self.x509.clone()).authorize(authorizer::exact([id])?).build()?;
        let connector = TlsConnector::from(Arc::new(config));
        self.report.add_peer(id);
        self.peers.lock().unwrap().push(Arc::new(Peer { id: id.to_owned(), address: address.to_owned(), connector }));
        Ok(())
    }

    /// Tells the report of each renewed key and each new root.
    async fn report_updates(&self) -> Result<(), Failure> {
        let mut updates = self.x509.updated();
        loop {
            let context = self.x509.x509_context()?;
            let svid = context.default_svid().ok_or("no X.509-SVID")?;
            let (_, leaf) = X509Certificate::from_der(svid.cert_chain()[0].as_bytes())?;
            let bundle = context.bundle_set().get(self.id.trust_domain()).ok_or("no roots")?;
            let roots = bundle.authorities().iter().map(|root| hex(&Sha256::digest(root.as_bytes())));
            self.report.saw_update(hex(&leaf.tbs_certificate.serial.to_bytes_be()), roots);
            updates.changed().await?;
        }
    }
}

fn expect(told: &str, expected: &str) -> Result<(), Failure> {
    match told == expected {
        true => Ok(()),
        false => Err(format!("answered {told:?}").into()),
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
    let following = Arc::clone(&service);
    tokio::spawn(async move { following.report_updates().await });
    let calling = Arc::clone(&service);
    let calls = tokio::spawn(async move { calling.call_peers().await });

    let mut input = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = input.next_line().await? {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["peer", id, address] => service.add_peer(id, address)?,
            ["report"] => service.report.tell(),
            _ => return Err(format!("cannot read this line: {line}").into()),
        }
    }
    service.stopping.store(true, Ordering::Relaxed);
    calls.await?;
    service.report.tell();
    Ok(())
}
