#pragma once
#include <stdio.h>

struct counts { long acquired, live, leaked; };
extern struct counts of_folder, of_message, of_scratch, of_words, of_snapshot;

struct word { struct word *next; char text[496]; };

/* 0, or -1 where it is no message; its words are put before `*list`. */
int parse_message(const char *path, struct word **list);
/* Writes and frees the words; how many they were. */
long index_write(struct word *list);
