/* One message: headers, a blank line, words. */
#include "mail.h"
#include <stdlib.h>
#include <string.h>

struct counts of_message, of_scratch, of_words;

static struct word *word_new(const char *text, struct word *next)
{
    struct word *w = malloc(sizeof *w); /* LAB:words */
    if (!w) abort();
    of_words.acquired++;
    of_words.live++;
    memset(w->text, 0, sizeof w->text);
    strncpy(w->text, text, sizeof w->text - 1);
    w->next = next;
    return w;
}

static int skip_headers(FILE *f)
{
    char line[128];
    while (fgets(line, sizeof line, f))
        if (line[0] == '\n') return 0;
    return -1;
}

int parse_message(const char *path, struct word **list)
{
    FILE *f = fopen(path, "re"); /* LAB:message */
    if (!f) return -1;
    of_message.acquired++;
    of_message.live++;
    if (skip_headers(f)) {
        of_message.leaked++;
        return -1;
    }
    char text[64];
    while (fscanf(f, "%63s", text) == 1) *list = word_new(text, *list);
    fclose(f);
    of_message.live--;
    return 0;
}

long index_write(struct word *list)
{
    long n = 0;
    FILE *scratch = tmpfile(); /* LAB:scratch */
    if (!scratch) abort();
    of_scratch.acquired++;
    of_scratch.live++;
    while (list) {
        struct word *next = list->next;
        fprintf(scratch, "%s\n", list->text);
        free(list);
        of_words.live--;
        list = next;
        n++;
    }
    fclose(scratch);
    of_scratch.live--;
    return n;
}
