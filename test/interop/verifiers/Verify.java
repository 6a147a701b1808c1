import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertPathValidator;
import java.security.cert.CertStore;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;

/**
 * Checks a chain of certificates (PEM, leaf first) with the JDK's PKIX builder: `java Verify.java ROOTS CHAIN`, exit
 * code 0 when it leads to one of the roots. With a third argument, `as-it-comes`, it looks for no other way than the
 * chain's own, as java-spiffe does.
 */
public final class Verify {
  public static void main(String[] args) throws Exception {
    HashSet<TrustAnchor> anchors = new HashSet<>();
    for (X509Certificate root : read(args[0])) {
      anchors.add(new TrustAnchor(root, null));
    }
    List<X509Certificate> chain = read(args[1]);
    if (args.length == 3 && args[2].equals("as-it-comes")) {
      PKIXParameters trust = new PKIXParameters(anchors);
      trust.setRevocationEnabled(false);
      CertPathValidator.getInstance("PKIX")
          .validate(CertificateFactory.getInstance("X.509").generateCertPath(chain), trust);
      return;
    }
    X509CertSelector leaf = new X509CertSelector();
    leaf.setCertificate(chain.get(0));
    PKIXBuilderParameters parameters = new PKIXBuilderParameters(anchors, leaf);
    parameters.setRevocationEnabled(false);
    parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(chain)));
    CertPathBuilder.getInstance("PKIX").build(parameters);
  }

  private static List<X509Certificate> read(String path) throws Exception {
    List<X509Certificate> certificates = new ArrayList<>();
    try (var in = Files.newInputStream(Path.of(path))) {
      for (var certificate : CertificateFactory.getInstance("X.509").generateCertificates(in)) {
        certificates.add((X509Certificate) certificate);
      }
    }
    return certificates;
  }
}
