import java.io.Closeable;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.Pipe;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** Rows come into windows of time that overlap; a window is written to the sink when it is over. */
public final class WindowJob {
    /** Acquired and live, by site. */
    static final class Meter {
        static final TreeMap<String, Meter> ALL = new TreeMap<>();
        long acquired, live;

        static synchronized void add(String site, int step) {
            Meter meter = ALL.computeIfAbsent(site, name -> new Meter());
            meter.acquired += Math.max(step, 0);
            meter.live += step;
        }

        static synchronized String all() {
            StringBuilder text = new StringBuilder("DONE\n");
            ALL.forEach((site, meter) -> text.append(String.format("{\"site\": \"%s\", \"acquired\": %d, \"live\": %d, \"leaked\": 0}%n",
                    site, meter.acquired, meter.live)));
            return text.toString();
        }
    }

    /** Swallows what it is sent, one connection at a time, and says how much it was. */
    static final class Sink extends Thread {
        final UnixDomainSocketAddress place = UnixDomainSocketAddress.of("sink.sock");
        final ServerSocketChannel door;

        Sink() throws IOException {
            super("sink");
            setDaemon(true);
            door = ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(place);
        }

        SocketChannel dial() throws IOException {
            SocketChannel channel = SocketChannel.open(place); // LAB:sink
            Meter.add("sink", 2);
            return channel;
        }

        void serve(SocketChannel peer) throws IOException {
            ByteBuffer data = ByteBuffer.allocate(4096);
            while (peer.read(data.clear()) >= 0) peer.write(data.clear().limit(1));
            peer.close();
            Meter.add("sink", -1);
        }

        @Override
        public void run() {
            while (true) {
                try {
                    SocketChannel peer = door.accept();
                    Thread server = new Thread(() -> {
                        try {
                            serve(peer);
                        } catch (IOException error) {
                            throw new UncheckedIOException(error);
                        } finally {
                            Meter.add("server", -1);
                        }
                    });
                    server.start(); // LAB:server
                    Meter.add("server", 1);
                } catch (IOException error) {
                    return;
                }
            }
        }
    }

    static final class Window implements Closeable {
        final int number;
        final List<FileChannel> spilled = new ArrayList<>();
        final List<Future<Integer>> sums = new ArrayList<>();
        final SocketChannel sink;
        ExecutorService crew;
        Pipe pipe;

        Window(int number, Sink sink, int width) throws IOException {
            this.number = number;
            this.sink = sink.dial();
            shuffle();
            hire(width);
        }

        void hire(int width) {
            crew = Executors.newFixedThreadPool(width);
            for (int hand = 0; hand < width; hand++) {
                crew.execute(() -> { }); // LAB:crew
                Meter.add("crew", 1);
            }
            hands = width;
        }

        int hands;

        void shuffle() throws IOException {
            pipe = Pipe.open(); // LAB:shuffle
            Meter.add("shuffle", 2);
        }

        void spill(byte[] rows) throws IOException {
            FileChannel file = FileChannel.open(Path.of("windows", number % 10 + "." + spilled.size()), StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE); // LAB:spill
            Meter.add("spill", 1);
            file.write(ByteBuffer.wrap(rows));
            spilled.add(file);
        }

        void take(byte[] rows) throws IOException {
            pipe.sink().write(ByteBuffer.wrap(rows, 0, 16));
            pipe.source().read(ByteBuffer.allocate(16));
            sums.add(crew.submit(() -> {
                int sum = 0;
                for (byte row : rows) sum += row;
                return sum;
            }));
            spill(rows);
        }

        @Override
        public void close() throws IOException {
            try {
                int all = 0;
                for (Future<Integer> sum : sums) all += sum.get();
                sink.write(ByteBuffer.allocate(4).putInt(0, all));
                sink.read(ByteBuffer.allocate(1));
                crew.shutdown();
                if (!crew.awaitTermination(20, TimeUnit.SECONDS)) throw new IOException("the crew does not end");
            } catch (InterruptedException | java.util.concurrent.ExecutionException error) {
                throw new IOException(error);
            }
            Meter.add("crew", -hands);
            sink.close();
            Meter.add("sink", -1);
            pipe.sink().close();
            pipe.source().close();
            Meter.add("shuffle", -2);
            for (FileChannel file : spilled) {
                file.close();
                Meter.add("spill", -1);
            }
        }
    }

    static int partitions() throws IOException {
        int found = 0;
        try (DirectoryStream<Path> all = Files.newDirectoryStream(Path.of("windows"), "*.0")) { // LAB:partitions
            Meter.add("partitions", 2);
            for (Path path : all) found += Files.isRegularFile(path) ? 1 : 0;
        }
        Meter.add("partitions", -2);
        return found;
    }

    long lot;

    int draw(int n) {
        lot = lot * 0x5DEECE66DL + 0xBL & (1L << 48) - 1;
        return (int) ((lot >>> 17) % n);
    }

    void stream(Sink sink, int windows) throws Exception {
        ArrayDeque<Window> open = new ArrayDeque<>();
        for (int number = 0; number < windows; number++) {
            // busier towards the middle of the stream
            int rows = 8 + draw(10) + 20 * Math.min(number, windows - number) / windows;
            open.addLast(new Window(number, sink, 1 + draw(4)));
            for (int row = 0; row < rows; row++) {
                byte[] data = new byte[64 + draw(900)];
                for (Window window : open) if (draw(3) > 0) window.take(data);
                Thread.sleep(3, draw(900_000));
            }
            if (open.size() == 3) open.removeFirst().close();
            if (number % 3 == 0 && partitions() > 10) throw new IllegalStateException("too many windows");
        }
        while (open.size() > 1) open.removeFirst().close();
    }

    public static void main(String[] arguments) throws Exception {
        Files.createDirectory(Path.of("windows"));
        Sink sink = new Sink();
        sink.start();
        WindowJob job = new WindowJob();
        job.lot = 5;
        try (Window warm = new Window(0, sink, 2)) {
            warm.take(new byte[100]);
        }
        partitions();
        Thread.sleep(300);
        Meter.ALL.clear();
        job.lot = Long.parseLong(arguments[0]) * 1_000_003;
        System.out.println("START");
        System.in.read();
        job.stream(sink, 210);
        Thread.sleep(300);
        System.out.print(Meter.all());
        System.out.flush();
        System.in.read();
        Runtime.getRuntime().halt(0);
    }
}
