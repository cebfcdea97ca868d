import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.Random;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.atomic.AtomicLongArray;

public final class TicketOffice {
    static final int PLAN = 1 << 20;
    static final String[] NAMES = {"admit", "visit", "clerk", "plan", "receipt"};
    static final int ADMIT = 0, VISIT = 1, CLERK = 2, PLANS = 3, RECEIPT = 4;
    /** Even places: acquired; odd ones: live. */
    static final AtomicLongArray SEEN = new AtomicLongArray(10);

    static void open(int site) {
        SEEN.incrementAndGet(2 * site);
        SEEN.incrementAndGet(2 * site + 1);
    }

    static void shut(int site) {
        SEEN.decrementAndGet(2 * site + 1);
    }

    /** Seat plans by hall, those that were asked for last. */
    static final class Plans extends LinkedHashMap<Integer, MappedByteBuffer> {
        final java.lang.invoke.MethodHandle unmap;

        Plans() throws ReflectiveOperationException {
            super(32, 0.75f, true);
            var field = Class.forName("sun.misc.Unsafe").getDeclaredField("theUnsafe");
            field.setAccessible(true);
            var type = java.lang.invoke.MethodType.methodType(void.class, ByteBuffer.class);
            unmap = java.lang.invoke.MethodHandles.lookup().findVirtual(field.getType(), "invokeCleaner", type).bindTo(field.get(null));
        }

        @Override
        protected boolean removeEldestEntry(Map.Entry<Integer, MappedByteBuffer> eldest) {
            if (size() <= 16) return false;
            try {
                unmap.invoke((ByteBuffer) eldest.getValue());
            } catch (Throwable error) {
                throw new IllegalStateException(error);
            }
            shut(PLANS);
            return true;
        }

        MappedByteBuffer of(int hall) throws IOException {
            MappedByteBuffer known = get(hall);
            if (known != null) return known;
            try (FileChannel file = FileChannel.open(Path.of("hall." + hall), StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
                MappedByteBuffer plan = file.map(FileChannel.MapMode.READ_WRITE, 0, PLAN); // LAB:plan
                open(PLANS);
                for (int at = 0; at < PLAN; at += 4096) plan.put(at, (byte) hall);
                put(hall, plan);
                return plan;
            }
        }
    }

    static final class Office extends Thread {
        final Selector selector = Selector.open();
        final ServerSocketChannel door = ServerSocketChannel.open();
        final Plans plans = new Plans();
        final BlockingQueue<Integer> tickets = new ArrayBlockingQueue<>(1000);
        int sold, clerks;

        Office() throws Exception {
            setDaemon(true);
            door.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 100);
            door.configureBlocking(false);
            door.register(selector, SelectionKey.OP_ACCEPT);
        }

        void admit() throws IOException {
            SocketChannel visitor = door.accept(); // LAB:admit
            if (visitor == null) return;
            open(ADMIT);
            visitor.configureBlocking(false);
            visitor.register(selector, SelectionKey.OP_READ, ByteBuffer.allocate(8));
        }

        void clerk() {
            Thread clerk = new Thread(null, this::stamp, "clerk", 8 << 20);
            clerk.setDaemon(true);
            clerk.start(); // LAB:clerk
            open(CLERK);
            clerks++;
        }

        void stamp() {
            try {
                while (true) receipt(tickets.take());
            } catch (InterruptedException | IOException error) {
                error.printStackTrace();
            }
        }

        static void receipt(int ticket) throws IOException {
            FileChannel file = FileChannel.open(Path.of("receipt." + ticket % 300), StandardOpenOption.CREATE, StandardOpenOption.WRITE); // LAB:receipt
            open(RECEIPT);
            file.write(ByteBuffer.allocate(4).putInt(0, ticket));
            file.close();
            shut(RECEIPT);
        }

        void hear(SelectionKey key) throws IOException {
            SocketChannel visitor = (SocketChannel) key.channel();
            ByteBuffer wish = ((ByteBuffer) key.attachment()).clear();
            if (visitor.read(wish) < 0) {
                key.cancel();
                visitor.close();
                shut(ADMIT);
                return;
            }
            plans.of(wish.get(0)).put(wish.get(1) * 16 + 1, (byte) 1);
            tickets.add(sold++);
            if (sold % 100 == 0 && clerks < 24) clerk();
        }

        @Override
        public void run() {
            try {
                while (true) {
                    selector.select(key -> {
                        try {
                            if (key.isAcceptable()) admit();
                            else hear(key);
                        } catch (IOException error) {
                            error.printStackTrace();
                        }
                    });
                }
            } catch (IOException error) {
                error.printStackTrace();
            }
        }
    }

    record Stay(long until, SocketChannel channel) { }

    /** Visitors come at random; each asks once or twice, and stays on. */
    static final class Visitors {
        final PriorityQueue<Stay> inside = new PriorityQueue<>(Comparator.comparingLong(Stay::until));
        final InetSocketAddress office;
        final Random random;

        Visitors(InetSocketAddress office, Random random) {
            this.office = office;
            this.random = random;
        }

        SocketChannel come() throws IOException {
            SocketChannel channel = SocketChannel.open(office); // LAB:visit
            open(VISIT);
            return channel;
        }

        void ask(SocketChannel channel) throws IOException {
            int hall = (int) Math.min(60, Math.abs(random.nextGaussian()) * 12);
            channel.write(ByteBuffer.wrap(new byte[] {(byte) hall, (byte) random.nextInt(100)}));
        }

        void leave(long now) throws IOException {
            while (!inside.isEmpty() && inside.peek().until <= now) {
                inside.poll().channel.close();
                shut(VISIT);
            }
        }

        void visit(int most) throws Exception {
            for (int number = 0; number < most; number++) {
                SocketChannel channel = come();
                ask(channel);
                inside.add(new Stay(System.nanoTime() + (long) (1e6 * Math.exp(5.3 + 1.2 * random.nextGaussian())), channel));
                leave(System.nanoTime());
                Thread.sleep(4, random.nextInt(999_999));
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        Office office = new Office();
        office.start();
        Office.receipt(0);
        InetSocketAddress at = (InetSocketAddress) office.door.getLocalAddress();
        Visitors first = new Visitors(at, new Random(1));
        first.visit(3);
        first.leave(Long.MAX_VALUE);
        Thread.sleep(500);
        long[] before = new long[10];
        for (int place = 0; place < 10; place++) before[place] = SEEN.get(place);
        System.out.println("START");
        System.in.read();
        Visitors visitors = new Visitors(at, new Random(Long.parseLong(arguments[0]) + 77));
        visitors.visit(2600);
        Thread.sleep(300);
        System.out.println("DONE");
        for (int site = 0; site < 5; site++) {
            long acquired = SEEN.get(2 * site) - before[2 * site], live = SEEN.get(2 * site + 1) - before[2 * site + 1];
            String more = site == PLANS ? ", \"bytes\": " + live * PLAN : "";
            System.out.printf(Locale.ROOT, "{\"site\": \"%s\", \"acquired\": %d, \"live\": %d, \"leaked\": 0%s}%n", NAMES[site], acquired, live, more);
        }
        System.in.read();
        System.exit(0);
    }
}
