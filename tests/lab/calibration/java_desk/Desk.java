import java.io.BufferedReader;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.RandomAccessFile;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicIntegerArray;

/** An order desk and its exchange in one process. Nothing of it leaks. */
final class Desk {
    static final String[] SITES = {"exchange", "book", "ledger", "clerk", "counter"};
    static final AtomicIntegerArray ACQUIRED = new AtomicIntegerArray(5), LIVE = new AtomicIntegerArray(5);

    static void in(int site) {
        ACQUIRED.incrementAndGet(site);
        LIVE.incrementAndGet(site);
    }

    static void out(int site) {
        LIVE.decrementAndGet(site);
    }

    /** The exchange: one thread, one selector. */
    static final class Counter implements Runnable {
        final ServerSocketChannel listener;
        final Selector selector;

        Counter() throws IOException {
            listener = ServerSocketChannel.open().bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            selector = Selector.open();
            listener.configureBlocking(false);
            listener.register(selector, SelectionKey.OP_ACCEPT);
        }

        void serve() throws IOException {
            SocketChannel peer = listener.accept(); // LAB:counter
            if (peer == null) return;
            in(4);
            peer.configureBlocking(false);
            peer.register(selector, SelectionKey.OP_READ);
        }

        void answer(SelectionKey key) throws IOException {
            SocketChannel peer = (SocketChannel) key.channel();
            ByteBuffer order = ByteBuffer.allocate(16);
            if (peer.read(order) < 0) {
                peer.close();
                selector.selectNow();
                out(4);
                return;
            }
            order.flip();
            peer.write(order);
        }

        @Override
        public void run() {
            try {
                while (true) {
                    selector.select();
                    List<SelectionKey> ready = new ArrayList<>(selector.selectedKeys());
                    selector.selectedKeys().clear();
                    for (SelectionKey key : ready) {
                        if (key.isAcceptable()) serve();
                        else answer(key);
                    }
                }
            } catch (IOException error) {
                error.printStackTrace();
            }
        }
    }

    final SplittableRandom dice;
    final InetSocketAddress exchange;
    final Deque<SocketChannel> idle = new ArrayDeque<>();
    final Deque<RandomAccessFile> ledgers = new ArrayDeque<>();
    final Deque<Thread> clerks = new ArrayDeque<>();

    Desk(long seed, InetSocketAddress exchange) {
        this.dice = new SplittableRandom(seed);
        this.exchange = exchange;
    }

    SocketChannel connect() throws IOException {
        SocketChannel channel = SocketChannel.open(exchange); // LAB:exchange
        in(0);
        return channel;
    }

    void order(int number) throws IOException {
        SocketChannel channel = idle.isEmpty() || idle.size() < 24 && dice.nextInt(60) == 0 ? connect() : idle.pollFirst();
        channel.write(ByteBuffer.wrap("order".getBytes()));
        ByteBuffer answer = ByteBuffer.allocate(5);
        while (answer.hasRemaining() && channel.read(answer) >= 0) { }
        idle.addLast(channel);
        if (dice.nextInt(50) == 0) {
            idle.pollFirst().close();
            out(0);
        }
    }

    void writeBook(int number) throws IOException {
        try (FileOutputStream book = new FileOutputStream("book." + number % 50)) { // LAB:book
            in(1);
            book.write(number);
        }
        out(1);
    }

    void ledger(int day) throws IOException {
        if (ledgers.size() == 3) {
            ledgers.pollFirst().close();
            out(2);
        }
        RandomAccessFile ledger = new RandomAccessFile("ledger." + day, "rw"); // LAB:ledger
        in(2);
        ledger.write(day);
        ledgers.addLast(ledger);
    }

    void hireClerks(int wanted) throws InterruptedException {
        while (clerks.size() >= wanted) {
            clerks.pollFirst().join();
            out(3);
        }
        long work = dice.nextInt(30);
        Thread clerk = new Thread(() -> {
            try {
                Thread.sleep(10 + work);
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
            }
        });
        clerk.start(); // LAB:clerk
        in(3);
        clerks.addLast(clerk);
    }

    void work() throws Exception {
        for (int number = 0; number < 2400; number++) {
            order(number);
            writeBook(number);
            if (number % 150 == 0) ledger(number / 150);
            if (number % 10 == 0) hireClerks(2 + (int) (6 * Math.sin(Math.PI * number / 2400)));
            Thread.sleep(3, dice.nextInt(900_000));
        }
        while (!clerks.isEmpty()) {
            clerks.pollFirst().join();
            out(3);
        }
        Thread.sleep(200);
    }

    public static void main(String[] arguments) throws Exception {
        Counter counter = new Counter();
        Thread server = new Thread(counter, "exchange");
        server.setDaemon(true);
        server.start();
        Desk desk = new Desk(Long.parseLong(arguments[0]), (InetSocketAddress) counter.listener.getLocalAddress());
        try (SocketChannel warm = desk.connect()) {
            warm.write(ByteBuffer.wrap("order".getBytes()));
            warm.read(ByteBuffer.allocate(5));
        }
        desk.writeBook(0);
        Thread.sleep(200);
        for (int site = 0; site < 5; site++) {
            ACQUIRED.set(site, 0);
            LIVE.set(site, 0);
        }
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        System.out.println("START");
        input.readLine();
        desk.work();
        System.out.println("DONE");
        for (int site = 0; site < 5; site++) {
            System.out.printf("{\"site\": \"%s\", \"acquired\": %d, \"live\": %d, \"leaked\": 0}%n", SITES[site], ACQUIRED.get(site), LIVE.get(site));
        }
        input.readLine();
        System.exit(0);
    }
}
