//! A workload in Rust: tonic and prost without protoc (the few messages are written out below), rcgen to make the
//! CSR, rustls-webpki to verify the chain.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::ProstCodec;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{IntoRequest, Request};

const SECRET_TYPE: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CertificateRequest {
    #[prost(string, tag = "1")]
    csr: String,
    #[prost(int64, tag = "3")]
    validity_duration: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CertificateResponse {
    #[prost(string, repeated, tag = "1")]
    cert_chain: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Node {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DiscoveryRequest {
    #[prost(string, tag = "1")]
    version_info: String,
    #[prost(message, optional, tag = "2")]
    node: Option<Node>,
    #[prost(string, repeated, tag = "3")]
    resource_names: Vec<String>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    response_nonce: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DiscoveryResponse {
    #[prost(string, tag = "1")]
    version_info: String,
    #[prost(message, repeated, tag = "2")]
    resources: Vec<Any>,
    #[prost(string, tag = "5")]
    nonce: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DataSource {
    #[prost(bytes = "vec", tag = "2")]
    inline_bytes: Vec<u8>,
    #[prost(string, tag = "3")]
    inline_string: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ValidationContext {
    #[prost(message, optional, tag = "1")]
    trusted_ca: Option<DataSource>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Secret {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "4")]
    validation_context: Option<ValidationContext>,
}

type Failure = Box<dyn Error>;

async fn dial(address: &str, tls: ClientTlsConfig) -> Result<tonic::client::Grpc<Channel>, Failure> {
    let channel = Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?.connect().await?;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await?;
    Ok(client)
}

async fn unary<Q, A>(client: &mut tonic::client::Grpc<Channel>, path: &'static str, request: Request<Q>) -> Result<A, Failure>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    client.ready().await?;
    let path = http::uri::PathAndQuery::from_static(path);
    Ok(client.unary(request, path, ProstCodec::<Q, A>::default()).await?.into_inner())
}

fn certificate(pem: &str) -> Result<CertificateDer<'static>, Failure> {
    let mut reader = pem.as_bytes();
    let mut all = rustls_pemfile::certs(&mut reader).collect::<Result<Vec<_>, _>>()?;
    if all.len() != 1 {
        return Err(format!("{} certificates in one element", all.len()).into());
    }
    Ok(all.remove(0))
}

/// Path validation as rustls does it; returns the leaf.
fn verify(elements: &[String], root_pem: &str) -> Result<CertificateDer<'static>, Failure> {
    let root = certificate(root_pem)?;
    let anchors = [webpki::anchor_from_trusted_cert(&root)?];
    let chain = elements[..elements.len() - 1].iter().map(|pem| certificate(pem)).collect::<Result<Vec<_>, _>>()?;
    let leaf = webpki::EndEntityCert::try_from(&chain[0])?;
    leaf.verify_for_usage(
        &[webpki::ring::ECDSA_P256_SHA256],
        &anchors,
        &chain[1..],
        UnixTime::now(),
        webpki::KeyUsage::client_auth(),
        None,
        None,
    )?;
    Ok(chain[0].clone())
}

/// Subscribes, acknowledges the first answer, and leaves.
async fn first_secret(client: &mut tonic::client::Grpc<Channel>, name: &str) -> Result<(String, Secret), Failure> {
    let (sender, receiver) = tokio::sync::mpsc::channel(2);
    let subscribe = DiscoveryRequest {
        node: Some(Node { id: "rust".into() }),
        resource_names: vec![name.into()],
        type_url: SECRET_TYPE.into(),
        ..Default::default()
    };
    sender.send(subscribe.clone()).await?;
    let requests = Request::new(ReceiverStream::new(receiver));
    let path = http::uri::PathAndQuery::from_static(
        "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
    );
    let codec = ProstCodec::<DiscoveryRequest, DiscoveryResponse>::default();
    let mut answers = client.streaming(requests, path, codec).await?.into_inner();
    let answer = answers.message().await?.ok_or("the stream ended without an answer")?;
    let acknowledge =
        DiscoveryRequest { version_info: answer.version_info.clone(), response_nonce: answer.nonce.clone(), node: None, ..subscribe };
    sender.send(acknowledge).await?;
    drop(sender);
    while answers.message().await?.is_some() {}
    let secret = prost::Message::decode(answer.resources.first().ok_or("no resource")?.value.as_slice())?;
    Ok((answer.version_info, secret))
}

async fn run(options: HashMap<String, String>) -> Result<serde_json::Value, Failure> {
    let root_pem = std::fs::read_to_string(&options["--ca"])?;
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&root_pem));
    let mut client = dial(&options["--server"], tls.clone()).await?;
    let health: HealthCheckResponse =
        unary(&mut client, "/grpc.health.v1.Health/Check", HealthCheckRequest {}.into_request()).await?;

    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names = vec![rcgen::SanType::URI(options["--id"].as_str().try_into()?)];
    let mut request = Request::new(CertificateRequest {
        csr: params.serialize_request(&key)?.pem()?,
        validity_duration: 3600,
    });
    let bearer: MetadataValue<_> = format!("Bearer {}", options["--token"]).parse()?;
    request.metadata_mut().insert("authorization", bearer);
    let response: CertificateResponse =
        unary(&mut client, "/istio.v1.auth.IstioCertificateService/CreateCertificate", request).await?;
    let elements = response.cert_chain;
    let leaf = verify(&elements, &root_pem)?;

    let own = Identity::from_pem(elements[..elements.len() - 1].concat(), key.serialize_pem());
    let mut client = dial(&options["--sds"], tls.identity(own)).await?;
    let (version, secret) = first_secret(&mut client, "ROOTCA").await?;
    let roots = secret.validation_context.and_then(|context| context.trusted_ca).unwrap_or_default();

    let (_, parsed) = x509_parser::parse_x509_certificate(&leaf)?;
    let ids: Vec<String> = match parsed.subject_alternative_name()? {
        Some(names) => names
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                x509_parser::extensions::GeneralName::URI(uri) => Some(uri.to_string()),
                _ => None,
            })
            .collect(),
        None => vec![],
    };
    Ok(serde_json::json!({
        "health": if health.status == 1 { "SERVING".to_string() } else { health.status.to_string() },
        "spiffe_ids": ids,
        "serial": format!("{:0>32}", parsed.serial.to_str_radix(16)),
        "elements": elements.len(),
        "verified_by": "rustls-webpki",
        "secret": secret.name,
        "secret_version": version,
        "secret_roots": String::from_utf8(roots.inline_bytes)? + &roots.inline_string,
    }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options = words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    match tokio::time::timeout(Duration::from_secs(120), run(options)).await {
        Ok(Ok(result)) => println!("{result}"),
        Ok(Err(error)) => {
            eprintln!("{error}: {error:?}");
            std::process::exit(1);
        }
        Err(_) => {
            eprintln!("nothing within 120 s");
            std::process::exit(1);
        }
    }
}
