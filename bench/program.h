/* What the programs that put load on a daemon have in common. */
#ifndef PROGRAM_H
#define PROGRAM_H
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* SIGTERM has come. */
static volatile sig_atomic_t stopped;

static void stop(int number) { (void)number; stopped = 1; }

/* Take note of SIGTERM, and end with whoever started this. */
static void obey(void) {
    struct sigaction action = {.sa_handler = stop}; /* no SA_RESTART: it ends what waits */
    sigaction(SIGTERM, &action, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void die(const char *what) {
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

/* Give the value of NAME=VALUE among the arguments, or another; NULL says that it must be there. */
static const char *option(int count, char **options, const char *name, const char *otherwise) {
    size_t length = strlen(name);
    for (int i = 0; i < count; i++)
        if (!strncmp(options[i], name, length) && options[i][length] == '=')
            return options[i] + length + 1;
    if (!otherwise) {
        fprintf(stderr, "%s: %s= is missing\n", program_invocation_short_name, name);
        exit(2);
    }
    return otherwise;
}

static int connect_to(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) die(path);
    return fd;
}

#endif
