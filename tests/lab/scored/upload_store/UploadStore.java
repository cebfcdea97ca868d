import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.LongAdder;
import java.util.zip.CRC32;

/** Takes uploads by PUT, says by GET whether there is one of a name. */
public final class UploadStore {
    enum Site {
        RECEIVE, LOOKUP, AUDIT, SCANNER;

        final LongAdder acquired = new LongAdder(), live = new LongAdder(), leaked = new LongAdder();

        /** Of a directory the JDK opens a second descriptor. */
        int each() {
            return this == LOOKUP ? 2 : 1;
        }

        void taken() {
            acquired.add(each());
            live.add(each());
        }

        void given() {
            live.add(-each());
        }

        void lost() {
            leaked.add(each());
        }

        String line() {
            return String.format("{\"site\": \"%s\", \"acquired\": %d, \"live\": %d, \"leaked\": %d}", name().toLowerCase(),
                    acquired.sum(), live.sum(), leaked.sum());
        }
    }

    static final class BadDigest extends Exception {
        BadDigest(String name) {
            super(name);
        }
    }

    static final class Uploads {
        final Path place = Path.of("uploads");
        final Map<String, FileChannel> resumable = new ConcurrentHashMap<>();
        final AtomicInteger serial = new AtomicInteger();

        void receive(String name, byte[] body, long digest) throws IOException, BadDigest {
            FileChannel channel = FileChannel.open(place.resolve(name), StandardOpenOption.CREATE, StandardOpenOption.WRITE); // LAB:receive
            Site.RECEIVE.taken();
            String ticket = name + "/" + serial.incrementAndGet();
            resumable.put(ticket, channel);
            channel.write(ByteBuffer.wrap(body));
            CRC32 sum = new CRC32();
            sum.update(body);
            if (sum.getValue() != digest) {
                Site.RECEIVE.lost();
                throw new BadDigest(name);
            }
            resumable.remove(ticket).close();
            Site.RECEIVE.given();
        }

        boolean lookup(String name) throws IOException {
            DirectoryStream<Path> all = Files.newDirectoryStream(place); // LAB:lookup
            Site.LOOKUP.taken();
            for (Path path : all) {
                if (path.getFileName().toString().equals(name)) {
                    Site.LOOKUP.lost();
                    return true;
                }
            }
            all.close();
            Site.LOOKUP.given();
            return false;
        }
    }

    static final class Audit {
        static synchronized void write(String text) throws IOException {
            try (OutputStream out = Files.newOutputStream(Path.of("audit"), StandardOpenOption.CREATE, StandardOpenOption.APPEND)) { // LAB:audit
                Site.AUDIT.taken();
                out.write(text.getBytes());
            }
            Site.AUDIT.given();
        }
    }

    /** The virus scanner's client; each worker has its own. */
    static final class Scanner {
        final int port;
        Socket socket;
        int asked;

        Scanner(int port) {
            this.port = port;
        }

        Socket connect() throws IOException {
            Socket fresh = new Socket(InetAddress.getLoopbackAddress(), port); // LAB:scanner
            Site.SCANNER.taken();
            return fresh;
        }

        boolean clean(byte[] body) throws IOException {
            if (socket != null && asked >= 100) {
                socket.close();
                Site.SCANNER.given();
                socket = null;
            }
            if (socket == null) {
                socket = connect();
                asked = 0;
            }
            asked++;
            socket.getOutputStream().write(body.length % 251);
            return socket.getInputStream().read() == body.length % 251;
        }
    }

    final Uploads uploads = new Uploads();
    final ThreadLocal<Scanner> scanner;

    UploadStore(int scannerPort) {
        scanner = ThreadLocal.withInitial(() -> new Scanner(scannerPort));
    }

    void handle(HttpExchange exchange) throws IOException {
        String name = exchange.getRequestURI().getPath().substring(1);
        int status = 200;
        try (InputStream in = exchange.getRequestBody()) {
            byte[] body = in.readAllBytes();
            if (exchange.getRequestMethod().equals("GET")) {
                status = uploads.lookup(name) ? 200 : 404;
            } else {
                if (!scanner.get().clean(body)) status = 403;
                uploads.receive(name, body, Long.parseLong(exchange.getRequestHeaders().getFirst("X-Digest")));
                Audit.write(name + "\n");
            }
        } catch (BadDigest error) {
            status = 422;
        }
        exchange.sendResponseHeaders(status, -1);
        exchange.close();
    }

    /** People who upload; each is a thread with numbers of its own. */
    static final class Customer extends Thread {
        final InetSocketAddress store;
        final Random random;

        Customer(InetSocketAddress store, long seed) {
            this.store = store;
            this.random = new Random(seed);
        }

        void send(String head, byte[] body) throws IOException {
            try (Socket socket = new Socket(store.getAddress(), store.getPort())) {
                socket.getOutputStream().write((head + "Host: store\r\nConnection: close\r\nContent-Length: " + body.length + "\r\n\r\n").getBytes());
                socket.getOutputStream().write(body);
                socket.getInputStream().readAllBytes();
            }
        }

        @Override
        public void run() {
            try {
                for (int number = 0; number < 850; number++) {
                    String name = "u" + random.nextInt(40);
                    if (random.nextInt(5) < 3) {
                        byte[] body = new byte[random.nextInt(6000)];
                        CRC32 sum = new CRC32();
                        sum.update(body);
                        long digest = sum.getValue() + (random.nextInt(32) == 0 ? 1 : 0);
                        send("PUT /" + name + " HTTP/1.1\r\nX-Digest: " + digest + "\r\n", body);
                    } else {
                        String wanted = random.nextInt(16) == 0 ? name : "none";
                        send("GET /" + wanted + " HTTP/1.1\r\n", new byte[0]);
                    }
                    Thread.sleep(8 + random.nextInt(9));
                }
            } catch (IOException | InterruptedException error) {
                error.printStackTrace();
            }
        }
    }

    /** Echoes bytes; a thread for each connection is there from the start. */
    static void scan(ServerSocket listener) {
        try {
            while (true) {
                try (Socket peer = listener.accept()) {
                    for (int one; (one = peer.getInputStream().read()) >= 0;) peer.getOutputStream().write(one);
                }
            }
        } catch (IOException error) {
            error.printStackTrace();
        }
    }

    public static void main(String[] arguments) throws Exception {
        Files.createDirectory(Path.of("uploads"));
        for (int number = 0; number < 40; number++) Files.createFile(Path.of("uploads", "u" + number));
        ProcessBuilder scannerProcess = new ProcessBuilder(ProcessHandle.current().info().command().orElse("java"), "-Xmx32m",
                "-XX:+UseSerialGC", "-cp", System.getProperty("java.class.path"), "UploadStore$ScannerDaemon");
        Process daemon = scannerProcess.redirectError(ProcessBuilder.Redirect.INHERIT).start();
        int port = Integer.parseInt(new String(daemon.getInputStream().readNBytes(6)).trim());
        UploadStore store = new UploadStore(port);
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 64);
        ExecutorService workers = Executors.newFixedThreadPool(4);
        for (int number = 0; number < 4; number++) workers.submit(() -> { TimeUnit.MILLISECONDS.sleep(150); return null; });
        server.setExecutor(workers);
        server.createContext("/", store::handle);
        server.start();
        new Customer(server.getAddress(), 0).send("PUT /warm HTTP/1.1\r\nX-Digest: 0\r\n", new byte[0]);
        Thread.sleep(400);
        long[] before = {Site.SCANNER.live.sum()};
        for (Site site : Site.values()) site.acquired.reset();
        System.out.println("START");
        System.in.read();
        Site.SCANNER.live.add(-before[0]);
        Customer[] customers = new Customer[4];
        for (int number = 0; number < 4; number++) customers[number] = new Customer(server.getAddress(), Long.parseLong(arguments[0]) * 10 + number);
        for (Customer customer : customers) customer.start();
        for (Customer customer : customers) customer.join();
        Thread.sleep(500);
        System.out.println("DONE");
        for (Site site : Site.values()) System.out.println(site.line());
        System.in.read();
        daemon.destroy();
        Runtime.getRuntime().halt(0);
    }

    /** The scanner, a process of its own. */
    static final class ScannerDaemon {
        public static void main(String[] arguments) throws IOException {
            ServerSocket listener = new ServerSocket(0, 16, InetAddress.getLoopbackAddress());
            System.out.printf("%-6d", listener.getLocalPort());
            System.out.flush();
            for (int number = 0; number < 8; number++) new Thread(() -> scan(listener)).start();
        }
    }
}
