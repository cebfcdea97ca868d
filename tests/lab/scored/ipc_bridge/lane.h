#pragma once
#include <stddef.h>

#define BACKLOG 16384

struct score { long acquired, live, leaked; };
extern struct score score_lane, score_backlog, score_pause;

struct lane { int reader; char *backlog; size_t used; };

/* Opens the fifo of a lane; `writer` has said its greeting when this returns. NULL where the greeting is wrong. */
struct lane *lane_open(const char *path, int *writer, int greets);
void lane_pass(struct lane *lane, int writer, const char *text, size_t length);
void lane_pause(int by_signal);
void lane_close(struct lane *lane);
