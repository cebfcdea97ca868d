import java.io.FileInputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** As service.c: streams that a list keeps, and streams that are closed. */
public final class Service {
    static final List<FileInputStream> kept = new ArrayList<>();

    static FileInputStream readConfig() throws IOException {
        return new FileInputStream("/etc/hostname");
    }

    static void leaky(boolean isClean) throws IOException {
        FileInputStream in = readConfig(); // leaks here
        if (isClean) {
            in.close();
        } else {
            kept.add(in);
        }
    }

    static void healthy() throws IOException {
        try (FileInputStream in = readConfig()) {
            in.read();
        }
    }

    public static void main(String[] args) throws IOException {
        boolean isClean = args.length > 0 && args[0].equals("clean");
        for (int i = 0; i < 40; i++) {
            leaky(isClean);
            healthy();
        }
    }
}
