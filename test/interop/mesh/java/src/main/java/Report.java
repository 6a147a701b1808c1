import com.google.gson.Gson;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What the mesh is told about this service, in the names of its JSON; no service needs it. Thread-safe. */
final class Report {
  private static final int ERRORS_MAX = 5;

  private static final class Counts {
    private int ok;
    private int failed;
    private int jwt_ok;
    private int jwt_failed;
    private final List<String> errors = new ArrayList<>();
  }

  private final Map<String, Counts> peers = new LinkedHashMap<>();
  private int refused;
  private final List<String> refusals = new ArrayList<>();
  private final Set<String> serials = new LinkedHashSet<>();
  private final Set<String> roots = new LinkedHashSet<>();

  synchronized void addPeer(String spiffeId) {
    peers.put(spiffeId, new Counts());
  }

  /** A call to that peer; `error` is null where it succeeded. */
  synchronized void count(String spiffeId, boolean byJwt, Exception error) {
    Counts counts = peers.get(spiffeId);
    if (error != null) {
      note(counts.errors, (byJwt ? "jwt: " : "") + reasons(error));
    }
    if (byJwt) {
      counts.jwt_ok += error == null ? 1 : 0;
      counts.jwt_failed += error == null ? 0 : 1;
    } else {
      counts.ok += error == null ? 1 : 0;
      counts.failed += error == null ? 0 : 1;
    }
  }

  synchronized void countRefusal(Exception error) {
    ++refused;
    note(refusals, reasons(error));
  }

  synchronized void sawUpdate(String serial, List<String> rootDigests) {
    serials.add(serial);
    roots.addAll(rootDigests);
  }

  synchronized void tell() {
    tell(this);
  }

  static void tell(Object value) {
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
}
