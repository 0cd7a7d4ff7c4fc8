import org.apache.solr.embedded.JettyConfig;
import org.apache.solr.embedded.JettySolrRunner;

/**
 * Runs Solr as a user-managed server: java -cp LIB/* Launcher.java HOME PORT. Cores are found in
 * HOME; it listens on 127.0.0.1 until it is killed, or stopped in order by SIGTERM.
 */
public class Launcher {
  public static void main(String[] args) throws Exception {
    JettyConfig config =
        JettyConfig.builder().setContext("/solr").setPort(Integer.parseInt(args[1])).stopAtShutdown(true).build();
    new JettySolrRunner(args[0], config).start();
    Thread.currentThread().join();
  }
}
