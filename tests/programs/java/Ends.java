import java.io.FileInputStream;
import java.util.ArrayList;
import java.util.List;

/** Ends in the way that its argument names, with files open and a thread at work. */
public final class Ends {
    static final List<FileInputStream> kept = new ArrayList<>();

    static void leaky() throws Exception {
        kept.add(new FileInputStream("/etc/hostname"));
    }

    static void atWork() {
        try {
            while (true) {
                new FileInputStream("/dev/null").close();
            }
        } catch (java.io.IOException e) {
            throw new RuntimeException(e);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
        Thread worker = new Thread(Ends::atWork);
        worker.setDaemon(true);
        worker.start();
        for (int i = 0; i < 20; i++) {
            leaky();
        }
        Thread.sleep(50);
        System.out.println("ends by " + arguments[0]);
        switch (arguments[0]) {
            case "return": break;
            case "exit": System.exit(5); break;
            case "halt": Runtime.getRuntime().halt(6); break;
            case "throw": throw new IllegalStateException("as asked");
            default: throw new IllegalArgumentException(arguments[0]);
        }
    }
}
