import java.io.BufferedReader;
import java.io.FileReader;
import java.io.IOException;
import java.nio.channels.Selector;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/** Work for many tenants: each has a thread of its own, and a selector on which its jobs wait for their time. */
class Tenants {
    static final Map<String, long[]> BOOK = new HashMap<>();

    static synchronized void book(String site, int acquired, int live, int leaked) {
        long[] row = BOOK.computeIfAbsent(site, none -> new long[3]);
        row[0] += acquired;
        row[1] += live;
        row[2] += leaked;
    }

    static final class Tenant {
        final String name;
        String plan;
        ExecutorService crew;
        Selector selector;

        Tenant(String name) throws IOException {
            this.name = name;
            plan = readPlan();
            hire();
            listen();
        }

        String readPlan() throws IOException {
            BufferedReader reader = new BufferedReader(new FileReader("plan." + name)); // LAB:plan
            book("plan", 1, 1, 0);
            try {
                return reader.readLine();
            } finally {
                reader.close();
                book("plan", 0, -1, 0);
            }
        }

        void hire() {
            crew = new ThreadPoolExecutor(1, 1, 0, TimeUnit.SECONDS, new LinkedBlockingQueue<>());
            crew.execute(() -> { }); // LAB:crew
            book("crew", 1, 1, 0);
        }

        void listen() throws IOException {
            selector = Selector.open(); // LAB:selector LAB:wakeup
            book("selector", 1, 1, 0);
            book("wakeup", 1, 1, 0);
        }

        void dismiss() throws IOException, InterruptedException {
            crew.shutdown();
            if (!crew.awaitTermination(10, TimeUnit.SECONDS)) throw new IllegalStateException(name);
            selector.close();
            book("crew", 0, -1, 0);
            book("selector", 0, -1, 0);
            book("wakeup", 0, -1, 0);
        }

        void reload() throws IOException, InterruptedException {
            String fresh = readPlan();
            if (fresh.equals(plan)) {
                dismiss();
            } else {
                plan = fresh;
                for (String site : List.of("crew", "selector", "wakeup")) book(site, 0, 0, 1);
            }
            hire();
            listen();
        }

        void work(int jobs) throws InterruptedException, IOException {
            CountDownLatch done = new CountDownLatch(jobs);
            for (int job = 0; job < jobs; job++) crew.execute(done::countDown);
            selector.selectNow();
            done.await();
        }
    }

    static void burst(int size) throws InterruptedException {
        List<Thread> threads = new ArrayList<>();
        for (int number = 0; number < size; number++) {
            Thread thread = new Thread(() -> Thread.yield(), "burst-" + number);
            thread.start(); // LAB:burst
            book("burst", 1, 1, 0);
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
            book("burst", 0, -1, 0);
        }
    }

    static void changePlan(String tenant, int version) throws IOException {
        Files.writeString(Path.of("plan." + tenant), "plan " + version + "\n");
    }

    static void month(List<Tenant> tenants, RandomGenerator random) throws Exception {
        int version = 0;
        for (int event = 0; event < 2600; event++) {
            Tenant tenant = tenants.get(random.nextInt(tenants.size()));
            switch (random.nextInt(3)) {
                case 0 -> tenant.work(1 + random.nextInt(20));
                case 1 -> {
                    if (random.nextInt(20) == 0) changePlan(tenant.name, ++version);
                    tenant.reload();
                }
                default -> {
                    if (event % 8 == 0) burst(2 + event / 16 % 14);
                }
            }
            TimeUnit.MICROSECONDS.sleep(3500 + random.nextInt(3000));
        }
    }

    public static void main(String[] arguments) throws Exception {
        RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(Long.parseLong(arguments[0]));
        List<Tenant> tenants = new ArrayList<>();
        for (int number = 0; number < 30; number++) {
            changePlan("t" + number, 0);
            tenants.add(new Tenant("t" + number));
        }
        tenants.get(0).work(1);
        tenants.get(0).reload();
        burst(1);
        Thread.sleep(200);
        BOOK.clear();
        Scanner input = new Scanner(System.in);
        System.out.println("START");
        input.nextLine();
        month(tenants, random);
        Thread.sleep(300);
        StringBuilder account = new StringBuilder("DONE\n");
        BOOK.forEach((site, row) -> account.append(String.format("{\"site\": \"%s\", \"acquired\": %d, \"live\": %d, \"leaked\": %d}\n", site, row[0], row[1], row[2])));
        System.out.print(account);
        System.out.flush();
        if (input.hasNextLine()) input.nextLine();
        System.exit(0);
    }
}
