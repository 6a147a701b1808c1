import io.spiffe.provider.SpiffeKeyManager;
import io.spiffe.provider.SpiffeTrustManager;
import io.spiffe.spiffeid.SpiffeId;
import io.spiffe.svid.jwtsvid.JwtSvid;
import io.spiffe.svid.x509svid.X509Svid;
import io.spiffe.workloadapi.DefaultJwtSource;
import io.spiffe.workloadapi.DefaultX509Source;
import io.spiffe.workloadapi.JwtSource;
import io.spiffe.workloadapi.X509Source;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.net.ssl.KeyManager;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;

/**
 * A service in a mesh, in Java: identity and verification by java-spiffe, TLS by JSSE. test/interop/mesh/README.md
 * has the contract; Report.java counts for it.
 *
 * <p>SPIFFE_ENDPOINT_SOCKET=unix:///run/meshca/api.sock java Service SPIFFE_ID...
 */
public final class Service {
  private static final long PAUSE_MS = 100; // between two calls
  private static final int JWT_EVERY = 10; // rounds over all peers
  private static final int TIMEOUT_MS = 30_000;
  private static final int LINE_BYTES_MAX = 16_384;

  /** Whom to call, and where. */
  private record Peer(SpiffeId id, InetSocketAddress address) {}

  private final Set<SpiffeId> letIn;
  private final X509Source x509; // both follow the Workload API by themselves
  private final JwtSource jwt;
  private final SpiffeId id;
  private final Report report = new Report();
  private final List<Peer> peers = new CopyOnWriteArrayList<>();
  private volatile boolean stopping;

  /** Waits until the process has an identity. */
  private Service(Set<SpiffeId> letIn) throws Exception {
    this.letIn = letIn;
    x509 = DefaultX509Source.newSource();
    jwt = DefaultJwtSource.newSource();
    id = x509.getX509Svid().getSpiffeId();
  }

  /**
   * A context for one connection. One for all would read the source for the chain and again for its key, and between the two
   * a renewal can come; it would also resume connections, whose peers were verified in the past.
   */
  private SSLContext contextFor(Set<SpiffeId> accepted) throws GeneralSecurityException {
    X509Svid svid = x509.getX509Svid();
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(
        new KeyManager[] {new SpiffeKeyManager(() -> svid)},
        new TrustManager[] {new SpiffeTrustManager(x509, () -> accepted)},
        null);
    return context;
  }

  // --- the server

  private String listen() throws IOException {
    ServerSocket listener = new ServerSocket(0, 128, InetAddress.getLoopbackAddress());
    ExecutorService threads = Executors.newCachedThreadPool(Service::daemon);
    daemon(() -> {
      while (true) {
        try {
          Socket socket = listener.accept();
          threads.execute(() -> serve(socket));
        } catch (IOException error) {
          report.countRefusal(error);
        }
      }
    }).start();
    return "127.0.0.1:" + listener.getLocalPort();
  }

  private void serve(Socket plain) {
    try (plain) {
      plain.setSoTimeout(TIMEOUT_MS);
      SSLSocket socket = (SSLSocket) contextFor(letIn).getSocketFactory().createSocket(plain, (InputStream) null, true);
      try (socket) {
        socket.setNeedClientAuth(true);
        socket.startHandshake(); // refuses whoever is not in letIn
        writeLine(socket, answer(readLine(socket)));
      }
    } catch (Exception error) {
      report.countRefusal(error);
    }
  }

  private String answer(String request) {
    if (!request.startsWith("jwt ")) {
      return id.toString();
    }
    try {
      String token = request.substring("jwt ".length());
      return JwtSvid.parseAndValidate(token, jwt, Set.of(id.toString())).getSpiffeId().toString();
    } catch (Exception error) {
      return "error " + error;
    }
  }

  // --- the client

  /** One request by a new connection; throws unless the server's certificate has the peer's SPIFFE ID. */
  private String call(Peer peer, String request) throws Exception {
    Socket plain = new Socket();
    try (plain) {
      plain.connect(peer.address, TIMEOUT_MS);
      plain.setSoTimeout(TIMEOUT_MS);
      SSLContext context = contextFor(Set.of(peer.id));
      try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(plain, null, 0, true)) {
        writeLine(socket, request);
        return readLine(socket);
      }
    }
  }

  private void hello(Peer peer) throws Exception {
    expect(call(peer, "hello"), peer.id);
  }

  private void helloByJwt(Peer peer) throws Exception {
    expect(call(peer, "jwt " + jwt.fetchJwtSvid(peer.id.toString()).getToken()), id);
  }

  private static void expect(String told, SpiffeId expected) throws IOException {
    if (!told.equals(expected.toString())) {
      throw new IOException("answered \"" + told + "\"");
    }
  }

  // --- what it does all day

  /** Calls one peer after the other until it is told to stop. */
  private void callPeers() {
    for (int round = 0; !stopping; ++round) {
      boolean byJwt = round % JWT_EVERY == 0;
      for (Peer peer : peers) {
        Exception error = null;
        try {
          if (byJwt) {
            helloByJwt(peer);
          } else {
            hello(peer);
          }
        } catch (Exception caught) {
          error = caught;
        }
        report.count(peer.id.toString(), byJwt, error);
        reportUpdates();
        if (stopping) {
          return;
        }
        pause();
      }
      if (peers.isEmpty()) {
        pause();
      }
    }
  }

  private void addPeer(String spiffeId, String address) {
    int colon = address.lastIndexOf(':');
    InetSocketAddress to =
        new InetSocketAddress(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)));
    report.addPeer(spiffeId);
    peers.add(new Peer(SpiffeId.parse(spiffeId), to));
  }

  /** Tells the report of a renewed key and of a new root. */
  private void reportUpdates() {
    try {
      X509Certificate leaf = x509.getX509Svid().getLeaf();
      List<String> roots = new ArrayList<>();
      for (X509Certificate root : x509.getBundleForTrustDomain(id.getTrustDomain()).getX509Authorities()) {
        byte[] digest = MessageDigest.getInstance("SHA-256").digest(root.getEncoded());
        roots.add(HexFormat.of().formatHex(digest));
      }
      report.sawUpdate(leaf.getSerialNumber().toString(16), roots);
    } catch (Exception error) {
      report.countRefusal(error);
    }
  }

  private static Thread daemon(Runnable work) {
    Thread thread = new Thread(work);
    thread.setDaemon(true);
    return thread;
  }

  private static void pause() {
    try {
      Thread.sleep(PAUSE_MS);
    } catch (InterruptedException nobodyInterrupts) {
      throw new IllegalStateException(nobodyInterrupts);
    }
  }

  private static void writeLine(Socket socket, String line) throws IOException {
    socket.getOutputStream().write((line + "\n").getBytes(StandardCharsets.UTF_8));
  }

  private static String readLine(Socket socket) throws IOException {
    StringBuilder line = new StringBuilder();
    InputStream from = socket.getInputStream();
    for (int next = from.read(); next != '\n'; next = from.read()) {
      if (next < 0 || line.length() == LINE_BYTES_MAX) {
        throw new IOException("no line from the peer");
      }
      line.append((char) next);
    }
    return line.toString();
  }

  public static void main(String[] ids) throws Exception {
    Service service = new Service(Stream.of(ids).map(SpiffeId::parse).collect(Collectors.toSet()));
    Report.tell(Map.of("spiffe_id", service.id.toString(), "address", service.listen()));
    Thread calls = daemon(service::callPeers);
    calls.start();
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      String[] words = line.split(" ");
      switch (words[0]) {
        case "peer" -> service.addPeer(words[1], words[2]);
        case "report" -> service.report.tell();
        default -> throw new IOException("cannot read this line: " + line);
      }
    }
    service.stopping = true;
    calls.join();
    service.report.tell();
    System.exit(0); // the streams of updates would go on
  }
}
