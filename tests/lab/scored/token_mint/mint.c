/* Mints tokens. A token has a bell that rings when it is spent and, where asked for, a receipt in memory. Tokens are
 * spent in the order of their numbers or at random. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define OUT 120
#define TOKENS 42000

typedef struct token {
    unsigned number;
    int bell, receipt;
    char secret[1000];
} token_t;

static struct book { unsigned got, has, lost; } bells, receipts, tokens, seals;

static token_t *purse[OUT];
static unsigned twice_at, held_back_at;
static uint64_t pcg_state, pcg_stream;

static uint32_t pcg(void)
{
    uint64_t old = pcg_state;
    pcg_state = old * 6364136223846793005ull + pcg_stream;
    uint32_t word = (uint32_t)(((old >> 18) ^ old) >> 27), turn = (uint32_t)(old >> 59);
    return word >> turn | word << (-turn & 31);
}

static void got(struct book *b) { b->got++, b->has++; }

static int bell_new(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE); /* LAB:bell */
    if (fd < 0) abort();
    got(&bells);
    return fd;
}

static void bell_close(int fd)
{
    close(fd);
    bells.has--;
}

static int receipt_new(unsigned number)
{
    int fd = memfd_create("receipt", MFD_CLOEXEC); /* LAB:receipt */
    if (fd < 0) abort();
    got(&receipts);
    if (write(fd, &number, sizeof number) != sizeof number) abort();
    return fd;
}

static void receipt_close(int fd)
{
    close(fd);
    receipts.has--;
}

static token_t *token_new(unsigned number)
{
    token_t *t = malloc(sizeof *t); /* LAB:token */
    if (!t) abort();
    got(&tokens);
    memset(t->secret, 's', sizeof t->secret);
    t->number = number;
    t->bell = bell_new();
    t->receipt = number % 2 ? receipt_new(number) : -1;
    return t;
}

/* Who asks twice gets a new bell; the old one is the asker's, it is said in the protocol. */
static void ask_again(token_t *t)
{
    t->bell = bell_new();
    bells.lost++;
}

static bool spend(token_t *t)
{
    eventfd_t rung;
    if (eventfd_write(t->bell, 1) || eventfd_read(t->bell, &rung)) return false;
    bell_close(t->bell);
    if (t->receipt >= 0) {
        if (t->number >= held_back_at) {
            /* held back for the auditors */
            held_back_at += 500 + pcg() % 1000;
            receipts.lost++;
        } else {
            receipt_close(t->receipt);
        }
    }
    free(t);
    tokens.has--;
    return true;
}

static unsigned seal_read(void)
{
    unsigned seal = 0;
    FILE *f = fopen("seal", "re"); /* LAB:seal */
    if (!f) return 0;
    got(&seals);
    if (fscanf(f, "%u", &seal) != 1) seal = 0;
    fclose(f);
    seals.has--;
    return seal;
}

static void mint(unsigned number)
{
    unsigned place = number % 3 ? pcg() % OUT : number % OUT;
    if (purse[place] && !spend(purse[place])) fprintf(stderr, "token %u is not spent\n", purse[place]->number);
    purse[place] = token_new(number);
    if (number >= twice_at) {
        twice_at = number + 500 + pcg() % 1000;
        ask_again(purse[place]);
    }
    if (number % 100 == 0 && seal_read() != 77) abort();
}

static void row(const char *site, const struct book *b, unsigned each)
{
    printf("{\"site\": \"%s\", \"acquired\": %u, \"live\": %u, \"leaked\": %u", site, b->got, b->has, b->lost);
    if (each) printf(", \"bytes\": %u", b->has * each);
    printf("}\n");
}

int main(int argc, char **argv)
{
    pcg_stream = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1) << 1 | 1;
    for (int warm = 0; warm < 4; warm++) pcg();
    twice_at = 200 + pcg() % 300;
    held_back_at = 200 + pcg() % 300;
    FILE *seal = fopen("seal", "we");
    if (!seal || fprintf(seal, "77\n") < 0 || fclose(seal)) return 1;
    printf("START\n");
    fflush(stdout);
    if (getchar() == EOF) return 1;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    /* ten tokens at each stroke of the mint */
    for (unsigned number = 0; number < TOKENS; number += 10) {
        for (unsigned n = 0; n < 10; n++) mint(number + n);
        next.tv_nsec += 3900000;
        if (next.tv_nsec >= 1000000000) next.tv_sec++, next.tv_nsec -= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    printf("DONE\n");
    row("bell", &bells, 0);
    row("receipt", &receipts, 0);
    row("token", &tokens, sizeof(token_t));
    row("seal", &seals, 0);
    fflush(stdout);
    if (getchar() == EOF) return 0;
    return 0;
}
