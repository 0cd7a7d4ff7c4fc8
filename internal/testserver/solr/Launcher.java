import org.apache.solr.embedded.JettyConfig;
import org.apache.solr.embedded.JettySolrRunner;

/**
 * Runs Solr: java -cp LIB/* Launcher.java HOME PORT. Cores are found in HOME; it listens on
 * 127.0.0.1 until it is killed, or stopped in order by SIGTERM.
 */
public class Launcher {
  public static void main(String[] args) {
    JettyConfig config =
        JettyConfig.builder().setContext("/solr").setPort(Integer.parseInt(args[1])).stopAtShutdown(true).build();
    try {
      new JettySolrRunner(args[0], config).start();
      Thread.currentThread().join();
    } catch (Throwable e) { // the threads that were started would keep a server that does not serve
      e.printStackTrace();
      System.exit(1);
    }
  }
}
