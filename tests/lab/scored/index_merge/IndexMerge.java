import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;

/** Adds segments to an index and merges the oldest of them; readers pin what they read. */
public class IndexMerge {
    static final int BYTES = 768 * 1024;

    /** Of one site. */
    record Count(String site, int[] now) {
        Count(String site) {
            this(site, new int[3]);
        }

        void add(int acquired, int live, int leaked) {
            now[0] += acquired;
            now[1] += live;
            now[2] += leaked;
        }

        String json(String more) {
            return "{\"site\": \"" + site + "\", \"acquired\": " + now[0] + ", \"live\": " + now[1] + ", \"leaked\": " + now[2] + more + "}";
        }
    }

    static final Count MAPPED = new Count("segment"), LOCKS = new Count("lock"), MERGES = new Count("merged"), LISTS = new Count("listing");

    /** Unmaps at once: the collector would come too late for an index. */
    static final class Unmapper {
        static final sun.misc.Unsafe UNSAFE;

        static {
            try {
                Field field = sun.misc.Unsafe.class.getDeclaredField("theUnsafe");
                field.setAccessible(true);
                UNSAFE = (sun.misc.Unsafe) field.get(null);
            } catch (ReflectiveOperationException error) {
                throw new ExceptionInInitializerError(error);
            }
        }

        static void unmap(ByteBuffer buffer) {
            UNSAFE.invokeCleaner(buffer);
        }
    }

    static final class Segment {
        final Path path;
        final MappedByteBuffer postings;
        final RandomAccessFile lock;
        int pins;

        Segment(int number, Random random) throws IOException {
            path = Path.of("index", "segment." + number);
            lock = lock(number % 200);
            postings = map();
            for (int at = 0; at < BYTES; at += 4096) postings.put(at, (byte) random.nextInt());
        }

        MappedByteBuffer map() throws IOException {
            try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
                file.setLength(BYTES);
                FileChannel channel = file.getChannel();
                MappedByteBuffer buffer = channel.map(FileChannel.MapMode.READ_WRITE, 0, BYTES); // LAB:segment
                MAPPED.add(1, 1, 0);
                return buffer;
            }
        }

        static RandomAccessFile lock(int slot) throws IOException {
            RandomAccessFile file = new RandomAccessFile("lock." + slot, "rw"); // LAB:lock
            LOCKS.add(1, 1, 0);
            return file;
        }

        int search(int term) {
            return postings.get(Math.floorMod(term * 4096, BYTES));
        }

        void free() throws IOException {
            Unmapper.unmap(postings);
            MAPPED.add(0, -1, 0);
            lock.close();
            LOCKS.add(0, -1, 0);
        }
    }

    static final class Merger {
        final List<Segment> waiting = new ArrayList<>();

        RandomAccessFile open(int number) throws IOException {
            RandomAccessFile file = new RandomAccessFile("merged." + number % 20, "rw"); // LAB:merged
            MERGES.add(1, 1, 0);
            return file;
        }

        void merge(List<Segment> from, int number) throws IOException {
            RandomAccessFile out = open(number);
            for (Segment segment : from) {
                out.write(segment.postings.get(0));
                Files.delete(segment.path);
                if (segment.pins > 0) {
                    // freed by the reader that unpins it, as soon as readers do that
                    waiting.add(segment);
                    MAPPED.add(0, 0, 1);
                    LOCKS.add(0, 0, 1);
                } else {
                    segment.free();
                }
            }
            out.close();
            MERGES.add(0, -1, 0);
        }
    }

    static long segments() throws IOException {
        try (Stream<Path> all = Files.list(Path.of("index"))) { // LAB:listing
            LISTS.add(1, 1, 0);
            long count = all.count();
            LISTS.add(0, -1, 0);
            return count;
        }
    }

    static final class Reader {
        Segment pinned;

        void read(Deque<Segment> index, Random random) {
            if (pinned != null) pinned.pins--;
            pinned = null;
            int found = 0;
            for (Segment segment : index) found += segment.search(random.nextInt(1 << 20));
            if (found % 2 == 0 && random.nextInt(7) < 5) {
                pinned = random.nextBoolean() ? index.peekFirst() : index.peekLast();
                pinned.pins++;
            }
        }
    }

    static Deque<Segment> run(Random random) throws Exception {
        Deque<Segment> index = new ArrayDeque<>();
        Merger merger = new Merger();
        Reader reader = new Reader();
        for (int number = 0; number < 1500; number++) {
            index.addLast(new Segment(number, random));
            reader.read(index, random);
            if (index.size() == 12) {
                List<Segment> old = new ArrayList<>();
                while (index.size() > 8) old.add(index.pollFirst());
                merger.merge(old, number);
                if (segments() != index.size()) throw new IllegalStateException("segments are missing");
            }
            Thread.sleep(7 + random.nextInt(5));
        }
        kept = merger;
        return index;
    }

    static Merger kept;

    public static void main(String[] arguments) throws Exception {
        Files.createDirectory(Path.of("index"));
        Random random = new Random(Long.parseLong(arguments[0]) * 104729);
        new Segment(0, random).free();
        segments();
        for (Count count : List.of(MAPPED, LOCKS, LISTS)) count.now()[0] = 0;
        Files.delete(Path.of("index", "segment.0"));
        System.out.println("START");
        while (System.in.read() != '\n') { }
        Deque<Segment> index = run(random);
        System.out.println("DONE");
        System.out.println(MAPPED.json(", \"bytes\": " + (long) MAPPED.now()[1] * BYTES));
        for (Count count : List.of(LOCKS, MERGES, LISTS)) System.out.println(count.json(""));
        while (System.in.read() > '\n') { }
        System.exit(index.isEmpty() ? 1 : 0);
    }
}
