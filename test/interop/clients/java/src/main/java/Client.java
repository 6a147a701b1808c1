import com.google.gson.Gson;
import envoy.config.core.v3.Base.Node;
import envoy.extensions.transport_sockets.tls.v3.SecretOuterClass.Secret;
import envoy.service.discovery.v3.Discovery.DiscoveryRequest;
import envoy.service.discovery.v3.Discovery.DiscoveryResponse;
import envoy.service.secret.v3.SecretDiscoveryServiceGrpc;
import grpc.health.v1.HealthGrpc;
import grpc.health.v1.HealthOuterClass.HealthCheckRequest;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import istio.v1.auth.Ca.IstioCertificateRequest;
import istio.v1.auth.IstioCertificateServiceGrpc;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertPathValidator;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** A workload in Java: grpc-java, keytool to make key and CSR, CertPathValidator to verify the chain. */
public final class Client {
  private static final String SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
  private static final String PASSWORD = "changeit";

  public static void main(String[] args) throws Exception {
    Map<String, String> options = new HashMap<>();
    for (int i = 0; i + 1 < args.length; i += 2) {
      options.put(args[i], args[i + 1]);
    }
    File roots = new File(options.get("--ca"));
    Path folder = Files.createTempDirectory("meshca-java");
    Path store = folder.resolve("key.p12");
    try {
      System.out.println(new Gson().toJson(run(options, roots, store)));
    } finally {
      Files.deleteIfExists(store);
      Files.delete(folder);
    }
    System.exit(0); // grpc-java's threads live on for a while
  }

  private static Map<String, Object> run(Map<String, String> options, File roots, Path store) throws Exception {
    ManagedChannel channel = Grpc.newChannelBuilder(options.get("--server"),
        TlsChannelCredentials.newBuilder().trustManager(roots).build()).build();
    var health = HealthGrpc.newBlockingStub(channel).withDeadlineAfter(60, TimeUnit.SECONDS)
        .check(HealthCheckRequest.getDefaultInstance());
    ManagedChannel local = Grpc.newChannelBuilder("unix://" + options.get("--unix"),
        InsecureChannelCredentials.create()).build();
    var unixHealth = HealthGrpc.newBlockingStub(local).withDeadlineAfter(60, TimeUnit.SECONDS)
        .check(HealthCheckRequest.getDefaultInstance());
    String csr = makeKeyAndCsr(store, options.get("--id"));
    List<String> elements = createCertificate(channel, csr, options.get("--token"));
    List<X509Certificate> chain = verify(elements, roots);

    String certificates = String.join("", elements.subList(0, elements.size() - 1));
    ManagedChannel mutual = Grpc.newChannelBuilder(options.get("--sds"),
        TlsChannelCredentials.newBuilder().trustManager(roots)
            .keyManager(stream(certificates), stream(privateKey(store))).build()).build();
    DiscoveryResponse response = firstSecret(mutual, "ROOTCA");
    Secret secret = Secret.parseFrom(response.getResources(0).getValue());
    var trusted = secret.getValidationContext().getTrustedCa();

    List<Object> ids = new ArrayList<>();
    for (List<?> name : chain.get(0).getSubjectAlternativeNames()) {
      ids.add(name.get(1));
    }
    Map<String, Object> result = new LinkedHashMap<>();
    result.put("health", health.getStatus().name());
    result.put("unix_health", unixHealth.getStatus().name());
    result.put("spiffe_ids", ids);
    result.put("serial", String.format("%032x", chain.get(0).getSerialNumber()));
    result.put("elements", elements.size());
    result.put("verified_by", "Java CertPathValidator");
    result.put("secret", secret.getName());
    result.put("secret_version", response.getVersionInfo());
    result.put("secret_roots", trusted.getInlineBytes().toStringUtf8() + trusted.getInlineString());
    return result;
  }

  private static InputStream stream(String text) {
    return new ByteArrayInputStream(text.getBytes(StandardCharsets.US_ASCII));
  }

  private static String keytool(Path store, String... words) throws Exception {
    List<String> command = new ArrayList<>(List.of("keytool"));
    command.addAll(List.of(words));
    command.addAll(List.of("-alias", "key", "-keystore", store.toString(), "-storepass", PASSWORD));
    Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.US_ASCII);
    if (process.waitFor() != 0) {
      throw new IllegalStateException("keytool: " + output);
    }
    return output;
  }

  private static String makeKeyAndCsr(Path store, String id) throws Exception {
    keytool(store, "-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=", "-storetype", "PKCS12");
    return keytool(store, "-certreq", "-ext", "san=uri:" + id);
  }

  private static String privateKey(Path store) throws Exception {
    KeyStore keys = KeyStore.getInstance(store.toFile(), PASSWORD.toCharArray());
    byte[] pkcs8 = keys.getKey("key", PASSWORD.toCharArray()).getEncoded();
    return "-----BEGIN PRIVATE KEY-----\n" + Base64.getMimeEncoder().encodeToString(pkcs8)
        + "\n-----END PRIVATE KEY-----\n";
  }

  private static List<String> createCertificate(ManagedChannel channel, String csr, String token) {
    Metadata metadata = new Metadata();
    metadata.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
    return IstioCertificateServiceGrpc.newBlockingStub(channel).withDeadlineAfter(60, TimeUnit.SECONDS)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(metadata))
        .createCertificate(IstioCertificateRequest.newBuilder().setCsr(csr).setValidityDuration(3600).build())
        .getCertChainList();
  }

  /** Validates the path as PKIX says; returns it, leaf first. */
  private static List<X509Certificate> verify(List<String> elements, File roots) throws Exception {
    CertificateFactory factory = CertificateFactory.getInstance("X.509");
    List<X509Certificate> chain = new ArrayList<>();
    for (String element : elements.subList(0, elements.size() - 1)) {
      chain.add((X509Certificate) factory.generateCertificate(stream(element)));
    }
    X509Certificate root;
    try (InputStream file = new FileInputStream(roots)) {
      root = (X509Certificate) factory.generateCertificate(file);
    }
    PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
    parameters.setRevocationEnabled(false);
    CertPathValidator.getInstance("PKIX").validate(factory.generateCertPath(chain), parameters);
    return chain;
  }

  /** Subscribes, acknowledges the first answer, and leaves. */
  private static DiscoveryResponse firstSecret(ManagedChannel channel, String name) throws Exception {
    CompletableFuture<DiscoveryResponse> first = new CompletableFuture<>();
    StreamObserver<DiscoveryRequest> requests = SecretDiscoveryServiceGrpc.newStub(channel)
        .withDeadlineAfter(60, TimeUnit.SECONDS).streamSecrets(new StreamObserver<>() {
          @Override
          public void onNext(DiscoveryResponse response) {
            first.complete(response);
          }

          @Override
          public void onError(Throwable error) {
            first.completeExceptionally(error);
          }

          @Override
          public void onCompleted() {
            first.completeExceptionally(new IllegalStateException("the stream ended without an answer"));
          }
        });
    DiscoveryRequest subscribe = DiscoveryRequest.newBuilder().setNode(Node.newBuilder().setId("java"))
        .setTypeUrl(SECRET_TYPE).addResourceNames(name).build();
    requests.onNext(subscribe);
    DiscoveryResponse response = first.get(60, TimeUnit.SECONDS);
    requests.onNext(subscribe.toBuilder().clearNode().setVersionInfo(response.getVersionInfo())
        .setResponseNonce(response.getNonce()).build());
    requests.onCompleted();
    return response;
  }
}
