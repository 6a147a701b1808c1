import com.google.gson.Gson;
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
import java.util.Collection;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.net.ssl.KeyManager;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;

/**
 * A service in a mesh, in Java: identity and verification by java-spiffe, TLS by JSSE. README.md in the folder above has the
 * contract.
 *
 * <p>SPIFFE_ENDPOINT_SOCKET=unix:///run/meshca/api.sock java Service SPIFFE_ID...
 */
public final class Service {
  private static final long PAUSE_MS = 100; // between two calls
  private static final int JWT_EVERY = 10; // rounds over all peers
  private static final int TIMEOUT_MS = 30_000;
  private static final int ERRORS_MAX = 5;
  private static final int LINE_BYTES_MAX = 16_384;

  /** What came of the calls to one peer; the names are those of the report. */
  private static final class Counts {
    private final transient SpiffeId id;
    private final transient InetSocketAddress address;
    private int ok;
    private int failed;
    private int jwt_ok;
    private int jwt_failed;
    private final List<String> errors = new ArrayList<>();

    private Counts(SpiffeId id, InetSocketAddress address) {
      this.id = id;
      this.address = address;
    }
  }

  /** What the service prints when it is asked for a report. */
  private static final class Report {
    private final Map<String, Counts> peers = new LinkedHashMap<>();
    private int refused;
    private final List<String> refusals = new ArrayList<>();
    private final Set<String> serials = new LinkedHashSet<>();
    private final Set<String> roots = new LinkedHashSet<>();
  }

  private final Set<SpiffeId> letIn;
  private final X509Source x509; // both follow the Workload API by themselves
  private final JwtSource jwt;
  private final SpiffeId id;
  private final Report report = new Report(); // guarded by itself
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
          noteRefusal(error);
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
      noteRefusal(error);
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
  private String call(Counts peer, String request) throws Exception {
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

  private void hello(Counts peer) throws Exception {
    expect(call(peer, "hello"), peer.id);
  }

  private void helloByJwt(Counts peer) throws Exception {
    expect(call(peer, "jwt " + jwt.fetchJwtSvid(peer.id.toString()).getToken()), id);
  }

  private static void expect(String told, SpiffeId expected) throws IOException {
    if (!told.equals(expected.toString())) {
      throw new IOException("answered \"" + told + "\"");
    }
  }

  private void callPeers() {
    for (int round = 0; !stopping; ++round) {
      List<Counts> peers;
      synchronized (report) {
        peers = List.copyOf(report.peers.values());
      }
      for (Counts peer : peers) {
        boolean byJwt = round % JWT_EVERY == 0;
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
        count(peer, byJwt, error);
        rememberUpdates();
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

  // --- what it is told and tells

  private void addPeer(String spiffeId, String address) {
    int colon = address.lastIndexOf(':');
    InetSocketAddress to =
        new InetSocketAddress(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)));
    synchronized (report) {
      report.peers.put(spiffeId, new Counts(SpiffeId.parse(spiffeId), to));
    }
  }

  private void count(Counts peer, boolean byJwt, Exception error) {
    synchronized (report) {
      if (error != null) {
        note(peer.errors, (byJwt ? "jwt: " : "") + reasons(error));
      }
      if (byJwt) {
        peer.jwt_ok += error == null ? 1 : 0;
        peer.jwt_failed += error == null ? 0 : 1;
      } else {
        peer.ok += error == null ? 1 : 0;
        peer.failed += error == null ? 0 : 1;
      }
    }
  }

  private void noteRefusal(Exception error) {
    synchronized (report) {
      ++report.refused;
      note(report.refusals, reasons(error));
    }
  }

  /** Keeps which serial numbers and roots there were; nothing of the mesh needs it. */
  private void rememberUpdates() {
    try {
      X509Certificate leaf = x509.getX509Svid().getLeaf();
      Collection<X509Certificate> roots = x509.getBundleForTrustDomain(id.getTrustDomain()).getX509Authorities();
      synchronized (report) {
        report.serials.add(leaf.getSerialNumber().toString(16));
        for (X509Certificate root : roots) {
          byte[] digest = MessageDigest.getInstance("SHA-256").digest(root.getEncoded());
          report.roots.add(HexFormat.of().formatHex(digest));
        }
      }
    } catch (Exception error) {
      noteRefusal(error);
    }
  }

  private void tellReport() {
    synchronized (report) {
      tell(report);
    }
  }

  private static void tell(Object value) {
    System.out.println(new Gson().toJson(value));
  }

  private static void note(List<String> texts, String text) {
    if (texts.size() < ERRORS_MAX) {
      texts.add(text);
    }
  }

  /** An exception and what caused it, in one line. */
  private static String reasons(Throwable error) {
    return Stream.iterate(error, Objects::nonNull, Throwable::getCause).map(Throwable::toString)
        .collect(Collectors.joining("; because: "));
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
    tell(Map.of("spiffe_id", service.id.toString(), "address", service.listen()));
    Thread calls = daemon(service::callPeers);
    calls.start();
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      String[] words = line.split(" ");
      switch (words[0]) {
        case "peer" -> service.addPeer(words[1], words[2]);
        case "report" -> service.tellReport();
        default -> throw new IOException("cannot read this line: " + line);
      }
    }
    service.stopping = true;
    calls.join();
    service.tellReport();
    System.exit(0); // the streams of updates would go on
  }
}
