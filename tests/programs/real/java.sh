# needs: java javac
# says: true
# says: child0
# ends: 6
# sees: tcp thread file process
# The HTTP server of the JDK and its clients, on a pool of threads.
cat > Server.java <<'CODE'
import com.sun.net.httpserver.HttpServer;
import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.util.concurrent.*;

public class Server {
    public static void main(String[] args) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        ExecutorService pool = Executors.newFixedThreadPool(4);
        server.setExecutor(pool);
        server.createContext("/", exchange -> {
            byte[] body = Files.readAllBytes(Path.of("/etc/passwd"));
            exchange.sendResponseHeaders(200, body.length);
            try (OutputStream out = exchange.getResponseBody()) { out.write(body); }
        });
        server.start();
        int port = server.getAddress().getPort();
        long bytes = 0;
        for (int i = 0; i < 100; i++) {
            URL url = new URL("http://127.0.0.1:" + port + "/" + i);
            HttpURLConnection connection = (HttpURLConnection) url.openConnection();
            if (i % 2 == 0) connection.setRequestProperty("Connection", "close");
            try (InputStream in = connection.getInputStream()) { bytes += in.readAllBytes().length; }
        }
        System.out.println(bytes == 100 * Files.size(Path.of("/etc/passwd")));
        Process child = new ProcessBuilder("echo", "child").start();
        System.out.println(new String(child.getInputStream().readAllBytes()).trim() + child.waitFor());
        server.stop(0);
        pool.shutdown();
        System.exit(6);
    }
}
CODE
exec java -Xmx128m -XX:TieredStopAtLevel=1 Server.java 2>&1
