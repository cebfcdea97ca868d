import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.RandomAccessFile;
import java.lang.instrument.ClassDefinition;
import java.lang.instrument.Instrumentation;
import java.lang.invoke.MethodHandles;
import java.lang.reflect.Method;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.IntUnaryOperator;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

/**
 * Everything at once, for as many seconds as the argument says: classes that come, are redefined and go, code
 * that is compiled and thrown away, collections, exceptions, recursion to the end of the stack, threads that
 * begin and end; and in all of it blocks of native memory and files.
 */
public final class Storm {
    static Instrumentation instrumentation;
    static volatile boolean ends;
    static final AtomicLong turns = new AtomicLong();
    static volatile Object sink;

    public static void premain(String arguments, Instrumentation given) {
        instrumentation = given;
    }

    interface Turn {
        void run() throws Throwable;
    }

    /** What classes are loaded, redefined and unloaded as. */
    public static class Template implements IntUnaryOperator {
        int state;

        static int open(int depth) {
            try (FileInputStream in = new FileInputStream("/dev/null")) {
                return depth + in.read();
            } catch (java.io.IOException e) {
                return depth;
            }
        }

        @Override
        public int applyAsInt(int depth) {
            state++;
            return depth <= 0 ? open(state) : applyAsInt(depth - 1) + 1;
        }
    }

    static final class Loader extends ClassLoader {
        Loader() {
            super(Storm.class.getClassLoader());
        }

        Class<?> define(byte[] code) {
            return defineClass(null, code, 0, code.length);
        }
    }

    static byte[] codeOf(Class<?> type) throws Exception {
        String name = type.getName().substring(type.getName().lastIndexOf('.') + 1) + ".class";
        try (InputStream in = type.getResourceAsStream(name)) {
            return in.readAllBytes();
        }
    }

    static void nativeMemory(int size) {
        Deflater deflater = new Deflater();
        deflater.setInput(new byte[size]);
        deflater.finish();
        byte[] out = new byte[256];
        sink = deflater.deflate(out);
        Inflater inflater = new Inflater();
        inflater.end();
        deflater.end();
        sink = ByteBuffer.allocateDirect(size);
    }

    static IntUnaryOperator shape(int which) {
        switch (which % 4) {
            case 0: return x -> x + Template.open(1);
            case 1: return Template::open;
            case 2: return new Template();
            default: return new IntUnaryOperator() {
                public int applyAsInt(int x) { return x ^ Template.open(x); }
            };
        }
    }

    /** A call site that has seen one class so far is compiled for it, and thrown away at the second. */
    static int polymorphic(IntUnaryOperator[] shapes, int n) {
        int sum = 0;
        for (int i = 0; i < n; i++) {
            sum += shapes[i % shapes.length].applyAsInt(i & 3);
        }
        return sum;
    }

    static void classesComeAndGo(byte[] code) throws Throwable {
        Class<?> type = new Loader().define(code);
        IntUnaryOperator made = (IntUnaryOperator) type.getDeclaredConstructor().newInstance();
        polymorphic(new IntUnaryOperator[] {made, shape(0)}, 20);
        Class<?> hidden = MethodHandles.lookup()
            .defineHiddenClass(code, true).lookupClass();
        IntUnaryOperator other = (IntUnaryOperator) hidden.getDeclaredConstructor().newInstance();
        polymorphic(new IntUnaryOperator[] {made, other}, 20);
        Method open = type.getDeclaredMethod("open", int.class);
        open.setAccessible(true);
        for (int i = 0; i < 20; i++) {
            sink = open.invoke(null, i);
        }
    }

    static void redefined(byte[] code) throws Throwable {
        if (instrumentation != null) {
            instrumentation.redefineClasses(new ClassDefinition(Template.class, code));
        }
        polymorphic(new IntUnaryOperator[] {new Template()}, 200);
    }

    static int toTheEnd(int depth) {
        if (depth % 64 == 0) {
            nativeMemory(16);
        }
        return toTheEnd(depth + 1) + 1;
    }

    static void stackOverflow() {
        try {
            toTheEnd(1);
        } catch (StackOverflowError e) {
            sink = e.getMessage();
        }
    }

    static void exceptions(int depth) throws Exception {
        if (depth == 0) {
            new FileInputStream("/nonexistent/" + (turns.get() & 15));
        }
        try {
            exceptions(depth - 1);
        } finally {
            sink = new RandomAccessFile("/dev/null", "r").getFD();
            System.identityHashCode(sink);
        }
    }

    static void collections() {
        List<byte[]> kept = new ArrayList<>();
        for (int i = 0; i < 200; i++) {
            kept.add(new byte[ThreadLocalRandom.current().nextInt(20_000)]);
        }
        sink = kept;
        if (turns.get() % 64 == 0) {
            System.gc();
        }
    }

    static void threads() throws Exception {
        Thread[] made = new Thread[4];
        for (int i = 0; i < made.length; i++) {
            int which = i;
            made[i] = new Thread(() -> sink = shape(which).applyAsInt(2));
            made[i].start();
        }
        for (Thread thread : made) {
            thread.join();
        }
    }

    static void sockets() throws Exception {
        try (ServerSocket server = new ServerSocket(0);
             Socket client = new Socket("127.0.0.1", server.getLocalPort());
             Socket accepted = server.accept()) {
            client.getOutputStream().write(7);
            sink = accepted.getInputStream().read();
        }
    }

    static void forEver(Turn turn) {
        while (!ends) {
            try {
                turn.run();
            } catch (Throwable e) {
                sink = e;
                if (e instanceof Error && !(e instanceof VirtualMachineError)) {
                    e.printStackTrace();
                    System.exit(3);
                }
            }
            turns.incrementAndGet();
        }
    }

    public static void main(String[] arguments) throws Exception {
        byte[] code = codeOf(Template.class);
        Turn[] all = {
            () -> classesComeAndGo(code),
            () -> redefined(code),
            Storm::stackOverflow,
            () -> exceptions(5),
            Storm::collections,
            Storm::threads,
            Storm::sockets,
            () -> nativeMemory(4096),
            () -> polymorphic(new IntUnaryOperator[] {shape(0), shape(1), shape(2), shape(3)}, 500),
        };
        List<Thread> threads = new ArrayList<>();
        for (Turn turn : all) {
            Thread thread = new Thread(() -> forEver(turn));
            thread.start();
            threads.add(thread);
        }
        Thread.sleep((long) (Double.parseDouble(arguments[0]) * 1000));
        ends = true;
        for (Thread thread : threads) {
            thread.join();
        }
        System.out.println("done");
    }
}
