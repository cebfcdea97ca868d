/* Listeners that another image made, as socket activation and prefork servers have them, accepted on without asking
   who called: by the image that has them by exec, and by a fork child of it. The last image stands behind a filter
   that was there before it and does not forgive getsockopt. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TCP = 10, UNIX = 11 };

static void listeners(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    bind(tcp, (struct sockaddr *)&any, sizeof any);
    listen(tcp, 8);
    dup2(tcp, TCP);
    close(tcp);
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    int unix_ = socket(AF_UNIX, SOCK_STREAM, 0);
    /* A name that the kernel finds. */
    bind(unix_, (struct sockaddr *)&local, sizeof(sa_family_t));
    listen(unix_, 8);
    dup2(unix_, UNIX);
    close(unix_);
}

/* Connects to a listener and accepts; the caller's end is closed, the other one too. */
static void serve(int listener, int domain)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    getsockname(listener, (struct sockaddr *)&name, &length);
    int caller = socket(domain, SOCK_STREAM, 0);
    if (connect(caller, (struct sockaddr *)&name, length) != 0)
        perror("connect");
    int served = accept(listener, NULL, NULL);
    if (served < 0)
        perror("accept");
    close(served);
    close(caller);
}

static void forbid_getsockopt(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsockopt, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof code / sizeof *code, .filter = code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "makes";
    if (!strcmp(part, "makes")) {
        listeners();
        execl(argv[0], argv[0], "serves", NULL);
    }
    for (int i = 0; i < 3; i++) {
        serve(TCP, AF_INET);
        serve(UNIX, AF_UNIX);
    }
    close(dup(TCP));
    if (!strcmp(part, "serves")) {
        pid_t child = fork();
        if (child == 0) {
            serve(TCP, AF_INET);
            serve(UNIX, AF_UNIX);
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        printf("child %d\n", status);
        fflush(stdout);
        forbid_getsockopt();
        execl(argv[0], argv[0], "filtered", NULL);
    }
    puts(part);
    return 0;
}
