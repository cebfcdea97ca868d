import java.io.FileInputStream;
import java.io.PrintStream;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;

/**
 * Opens files from stacks of many shapes, and writes down what it thinks its own stack is.
 *
 * Arguments: a directory of files named 0, 1, …; how many there are; where to write.
 */
public final class Frames {
    static final Map<String, Integer> numbers = new LinkedHashMap<>();
    static String directory;
    static int[] stackOf;

    /** Both in one line: the frames from here on are the same. */
    static void open(int file) throws Exception {
        StackTraceElement[] trace = Thread.currentThread().getStackTrace(); new FileInputStream(directory + "/" + file).close();
        StringBuilder text = new StringBuilder();
        for (StackTraceElement frame : Arrays.asList(trace).subList(1, trace.length)) {
            text.append(frame.getClassName()).append('.').append(frame.getMethodName()).append(' ')
                .append(frame.getFileName()).append(':').append(Math.max(frame.getLineNumber(), 0))
                .append('\t');
        }
        synchronized (numbers) {
            String key = text.toString();
            Integer number = numbers.get(key);
            if (number == null) {
                number = numbers.size();
                numbers.put(key, number);
            }
            stackOf[file] = number;
        }
    }

    interface Shape {
        void go(int file, int seed) throws Exception;

        default void twice(int file, int seed) throws Exception {
            go(file, seed);
        }
    }

    static abstract class Generic<T> {
        abstract void with(T value, int seed) throws Exception;
    }

    static final class OfInteger extends Generic<Integer> {
        @Override
        void with(Integer value, int seed) throws Exception {
            next(value, seed);
        }
    }

    static final class Made {
        Made(int file, int seed) throws Exception {
            next(file, seed);
        }
    }

    static class Failure extends Exception {
    }

    static final MethodHandle HANDLE;
    static final Method METHOD;

    static {
        try {
            HANDLE = MethodHandles.lookup().findStatic(
                Frames.class, "next", MethodType.methodType(void.class, int.class, int.class));
            METHOD = Frames.class.getDeclaredMethod("next", int.class, int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    static synchronized void locked(int file, int seed) throws Exception {
        next(file, seed);
    }

    static void deeper(int file, int seed, int left) throws Exception {
        if (left == 0) {
            next(file, seed);
        } else {
            deeper(file, seed, left - 1);
        }
    }

    static void many(int... numbers) throws Exception {
        next(numbers[0],
            numbers[1]);
    }

    static RuntimeException wrapped(Exception e) {
        return new RuntimeException(e);
    }

    /** The seed says by which way the file is opened. */
    static void next(int file, int seed) throws Exception {
        if (seed == 0) {
            open(file);
            return;
        }
        int rest = seed / 14;
        switch (seed % 14) {
            case 0: next(file, rest); break;
            case 1: deeper(file, rest, 3); break;
            case 2: ((Shape) Frames::next).go(file, rest); break;
            case 3: ((Shape) (f, s) -> next(f, s)).twice(file, rest); break;
            case 4: locked(file, rest); break;
            case 5: METHOD.invoke(null, file, rest); break;
            case 6:
                try {
                    HANDLE.invokeExact(file, rest);
                } catch (Exception | Error e) {
                    throw e;
                } catch (Throwable e) {
                    throw new Error(e);
                }
                break;
            case 7: new OfInteger().with(file, rest); break;
            case 8: new Made(file, rest); break;
            case 9:
                try {
                    throw new Failure();
                } catch (Failure e) {
                    next(file, rest);
                }
                break;
            case 10:
                try {
                    file += 0;
                } finally {
                    next(file, rest);
                }
                break;
            case 11: many(file, rest); break;
            case 12: {
                int of = file;
                IntStream.of(rest).filter(s -> s >= 0).forEach(s -> {
                    try {
                        next(of, s);
                    } catch (Exception e) {
                        throw wrapped(e);
                    }
                });
                break;
            }
            default:
                new Object() {
                    void inside(int f) throws Exception {
                        next(f, rest);
                    }
                }.inside(file);
        }
    }

    /** Virtual, if that is wanted and this JVM has such threads. */
    static Thread started(Runnable work, boolean isVirtual) throws Exception {
        if (isVirtual) {
            try {
                Method start = Thread.class.getMethod("startVirtualThread", Runnable.class);
                return (Thread) start.invoke(null, work);
            } catch (NoSuchMethodException | java.lang.reflect.InvocationTargetException e) {
                // Before JDK 21, or only with an option.
            }
        }
        Thread thread = new Thread(work);
        thread.start();
        return thread;
    }

    public static void main(String[] arguments) throws Exception {
        directory = arguments[0];
        int files = Integer.parseInt(arguments[1]);
        stackOf = new int[files];
        List<Thread> threads = new ArrayList<>();
        int each = files / 4;
        for (int t = 0; t < 4; t++) {
            int first = t * each;
            int last = t == 3 ? files : first + each;
            Runnable work = () -> {
                Random random = new Random(first);
                try {
                    for (int file = first; file < last; file++) {
                        // A few ways often, so that they are compiled, and all others now and then.
                        int seed = random.nextInt(4) == 0 ? random.nextInt(14 * 14 * 14 * 14)
                            : 14 * 14 + random.nextInt(14);
                        next(file, seed);
                    }
                } catch (Exception e) {
                    e.printStackTrace();
                    System.exit(3);
                }
            };
            threads.add(started(work, t >= 2));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        try (PrintStream out = new PrintStream(arguments[2])) {
            numbers.keySet().forEach(out::println);
            for (int file = 0; file < files; file++) {
                out.println("file " + file + " " + stackOf[file]);
            }
        }
    }
}
