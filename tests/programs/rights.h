/* Messages that carry descriptors. */
#ifndef RIGHTS_H
#define RIGHTS_H
#include "used.h"

struct row_message {
  struct msghdr head;
  struct iovec part;
  char control[256];
};
/* A message of `text` with `count` copies of `fd`, or one with room for text and descriptors where `text` is 0. */
static inline struct msghdr *row_message(struct row_message *of, const char *text, int fd, int count) {
  memset(of, 0, sizeof *of);
  of->part = (struct iovec){text ? (void *)text : room, text ? strlen(text) : sizeof room};
  of->head.msg_iov = &of->part;
  of->head.msg_iovlen = 1;
  if (count) {
    of->head.msg_control = of->control;
    of->head.msg_controllen = text ? CMSG_SPACE(count * sizeof(int)) : sizeof of->control;
  }
  if (count && text) {
    struct cmsghdr *control = CMSG_FIRSTHDR(&of->head);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (int i = 0; i < count; i++) memcpy(CMSG_DATA(control) + i * sizeof(int), &fd, sizeof(int));
  }
  return &of->head;
}
/* Prints what came with a message, and closes it. */
static inline void row_came(struct msghdr *message) {
  printf("flags %x\n", message->msg_flags & ~MSG_CMSG_CLOEXEC);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_type != SCM_RIGHTS) continue;
    int count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      FLAGS(fd);
      CALL(close(fd));
    }
  }
}
#endif
