import java.io.RandomAccessFile;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.Selector;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/** Keeps one of each kind, by a method of its own; and gives others back that come from the same places. */
public final class Kinds {
    static final List<Object> kept = new ArrayList<>();

    static RandomAccessFile file() throws Exception {
        return new RandomAccessFile("/etc/hostname", "r");
    }

    static void leaksFile() throws Exception {
        kept.add(file()); // leaks file
    }

    static void closesFile() throws Exception {
        file().close();
    }

    static void leaksChannel() throws Exception {
        kept.add(FileChannel.open(Path.of("/etc/passwd"))); // leaks file
    }

    static void leaksSocket(int port) throws Exception {
        kept.add(new Socket("127.0.0.1", port)); // leaks tcp
    }

    static void closesSocket(int port) throws Exception {
        new Socket("127.0.0.1", port).close();
    }

    static void leaksSelector() throws Exception {
        kept.add(Selector.open()); // leaks epoll
    }

    static void leaksBuffer() {
        kept.add(ByteBuffer.allocateDirect(100_000)); // leaks heap
    }

    static void leaksThread(CountDownLatch never) {
        Thread thread = new Thread(() -> {
            try {
                never.await();
            } catch (InterruptedException e) {
                throw new RuntimeException(e);
            }
        });
        thread.setDaemon(true);
        thread.start(); // leaks thread
    }

    static void joinsThread() throws Exception {
        Thread thread = new Thread(() -> { });
        thread.start();
        thread.join();
    }

    public static void main(String[] arguments) throws Exception {
        ServerSocket server = new ServerSocket(0);
        CountDownLatch never = new CountDownLatch(1);
        for (int i = 0; i < 12; i++) {
            leaksFile();
            closesFile();
            leaksChannel();
            leaksSocket(server.getLocalPort());
            closesSocket(server.getLocalPort());
            leaksSelector();
            leaksBuffer();
            leaksThread(never);
            joinsThread();
        }
    }
}
