import java.io.IOException;
import java.io.RandomAccessFile;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.DatagramChannel;
import java.nio.channels.Pipe;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/** Passes events from a publisher to subscribers; each has a channel to be confirmed over, and a pipe as its buffer. */
public class EventBridge {
    enum Part { subscribe, buffer, pump, archive }

    static final class Sums {
        private final EnumMap<Part, long[]> sums = new EnumMap<>(Part.class);

        Sums() {
            for (Part part : Part.values()) sums.put(part, new long[3]);
        }

        synchronized void open(Part part, int count) {
            sums.get(part)[0] += count;
            sums.get(part)[1] += count;
        }

        synchronized void close(Part part, int count) {
            sums.get(part)[1] -= count;
        }

        synchronized void lose(Part part, int count) {
            sums.get(part)[2] += count;
        }

        @Override
        public synchronized String toString() {
            StringBuilder out = new StringBuilder();
            sums.forEach((part, sum) -> out.append("{\"site\": \"").append(part).append("\", \"acquired\": ").append(sum[0])
                    .append(", \"live\": ").append(sum[1]).append(", \"leaked\": ").append(sum[2]).append("}\n"));
            return out.toString();
        }
    }

    static Sums sums = new Sums();

    static final class Unconfirmed extends IOException {
        Unconfirmed(int number) {
            super("subscription " + number);
        }
    }

    static final class Subscription {
        final int number;
        final SocketAddress registry;
        DatagramChannel channel;
        Pipe pipe;
        Thread pump;

        Subscription(int number, SocketAddress registry) {
            this.number = number;
            this.registry = registry;
        }

        void open() throws IOException {
            channel = DatagramChannel.open(); // LAB:subscribe
            sums.open(Part.subscribe, 1);
            channel.connect(registry);
        }

        void buffer() throws IOException {
            pipe = Pipe.open(); // LAB:buffer
            sums.open(Part.buffer, 2);
        }

        /** The registry answers a question with the same number, or with another one where it does not know us. */
        void confirm(boolean known) throws IOException {
            ByteBuffer question = ByteBuffer.allocate(8).putInt(number).putInt(known ? 1 : 0).flip();
            channel.write(question);
            ByteBuffer answer = ByteBuffer.allocate(8);
            channel.read(answer);
            if (answer.getInt(0) != number) throw new Unconfirmed(number);
        }

        void close() throws IOException {
            channel.close();
            sums.close(Part.subscribe, 1);
            pipe.sink().close();
            pipe.source().close();
            sums.close(Part.buffer, 2);
        }
    }

    static final class Bridge {
        final List<Subscription> unconfirmed = new ArrayList<>();
        final Queue<Subscription> running = new ArrayDeque<>();

        void pump(Subscription subscription, int events) {
            subscription.pump = new Thread(() -> {
                try {
                    ByteBuffer event = ByteBuffer.allocate(4);
                    for (int number = 0; number < events; number++) {
                        subscription.pipe.sink().write(event.clear().putInt(0, number).limit(4));
                        subscription.pipe.source().read(event.clear());
                        LockSupport.parkNanos(200_000);
                    }
                } catch (IOException error) {
                    error.printStackTrace();
                }
            });
            subscription.pump.start(); // LAB:pump
            sums.open(Part.pump, 1);
            running.add(subscription);
        }

        void archive(int number) throws IOException {
            RandomAccessFile file = new RandomAccessFile("archive." + number % 10, "rw"); // LAB:archive
            sums.open(Part.archive, 1);
            try {
                file.seek(number * 4L);
                file.writeInt(number);
            } finally {
                file.close();
                sums.close(Part.archive, 1);
            }
        }

        void subscribe(Subscription subscription, boolean known, int events) throws IOException {
            subscription.open();
            subscription.buffer();
            try {
                subscription.confirm(known);
            } catch (Unconfirmed error) {
                unconfirmed.add(subscription);
                sums.lose(Part.subscribe, 1);
                sums.lose(Part.buffer, 2);
                throw error;
            }
            pump(subscription, events);
            archive(subscription.number);
        }

        void settle(int most) throws IOException, InterruptedException {
            while (running.size() > most) {
                Subscription oldest = running.remove();
                oldest.pump.join();
                sums.close(Part.pump, 1);
                oldest.close();
            }
        }
    }

    /** Who knows the subscribers. */
    static void registry(DatagramChannel channel) {
        ByteBuffer question = ByteBuffer.allocateDirect(8);
        try {
            while (true) {
                SocketAddress from = channel.receive(question.clear());
                if (question.getInt(4) == 0) question.putInt(0, -1);
                channel.send(question.flip(), from);
            }
        } catch (IOException error) {
            error.printStackTrace();
        }
    }

    /** Numbers by a linear feedback of 63 bits. */
    static final class Fate {
        long state;

        Fate(long seed) {
            state = seed * 0x9E3779B97F4A7C15L ^ 0x2545F4914F6CDD1DL;
        }

        int of(int n) {
            for (int step = 0; step < 20; step++) state = state << 1 ^ (state < 0 ? 0x1B : 0);
            return (int) Long.remainderUnsigned((state ^ state >>> 29) * 0xBF58476D1CE4E5B9L >>> 8, n);
        }
    }

    static void publish(Bridge bridge, SocketAddress registry, Fate fate, int most) throws Exception {
        for (int number = 0; number < most; number++) {
            try {
                bridge.subscribe(new Subscription(number, registry), fate.of(36) != 0, 2 + fate.of(60));
            } catch (Unconfirmed error) {
                System.err.println(error.getMessage());
            }
            bridge.settle(3 + fate.of(18));
            TimeUnit.MICROSECONDS.sleep(4200 + fate.of(2500));
        }
        bridge.settle(0);
    }

    public static void main(String[] arguments) throws Exception {
        DatagramChannel channel = DatagramChannel.open().bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        Thread registry = new Thread(() -> registry(channel));
        registry.setDaemon(true);
        registry.start();
        Bridge bridge = new Bridge();
        bridge.subscribe(new Subscription(0, channel.getLocalAddress()), true, 1);
        bridge.settle(0);
        Thread.sleep(150);
        sums = new Sums();
        System.out.println("START");
        System.in.read();
        publish(bridge, channel.getLocalAddress(), new Fate(Long.parseLong(arguments[0])), 2200);
        Thread.sleep(250);
        System.out.print("DONE\n" + sums);
        System.out.flush();
        System.in.read();
        System.exit(0);
    }
}
