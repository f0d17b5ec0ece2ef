/* Takes from a log daemon what is not meant for one client or one guest alone.
 *
 *   abuse talk socket=PATH bytes=FILE connections=1 chunk=0   sends FILE again and again, and reads
 *   abuse lock fd=3 seconds=1.5 filled=0                      locks a pipe from its write end
 *   abuse burn                                                uses its processor, and nothing else
 *
 * It goes on until SIGTERM, and ends with one line of JSON. It does read what it is answered: a
 * client that does not is left alone by any daemon soon, and would hide what it could do.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

#define MOST_CONNECTIONS 256
#define READ_BYTES (1 << 20)
#define FILLING_BYTES 4096
#define MOST_TRIES 10000

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + 1e-9 * time.tv_nsec;
}

/* Talking */

static const char *mapped(const char *path, size_t *size) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status)) die(path);
    *size = status.st_size;
    const char *bytes = mmap(NULL, *size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED) die("mmap");
    close(fd);
    return bytes;
}

static int talk(int option_count, char **options) {
    static char answers[READ_BYTES];
    struct pollfd connections[MOST_CONNECTIONS];
    size_t sent_to[MOST_CONNECTIONS] = {0}, size;
    long long sent = 0, received = 0, reconnected = 0;
    const char *path = option(option_count, options, "socket", NULL);
    const char *bytes = mapped(option(option_count, options, "bytes", NULL), &size);
    int count = atoi(option(option_count, options, "connections", "1"));
    size_t chunk = strtoull(option(option_count, options, "chunk", "0"), NULL, 10);
    if (!chunk) chunk = size;
    if (count > MOST_CONNECTIONS) {
        fprintf(stderr, "abuse: at most %d connections\n", MOST_CONNECTIONS);
        return 2;
    }
    for (int i = 0; i < count; i++)
        connections[i] = (struct pollfd){.fd = connect_to(path), .events = POLLIN | POLLOUT};
    double began = now();
    while (!stopped) {
        if (poll(connections, count, -1) < 0) {
            if (errno == EINTR) continue;
            die("poll");
        }
        for (int i = 0; i < count; i++) {
            struct pollfd *to = &connections[i];
            int gone = 0;
            if (to->revents & (POLLIN | POLLHUP | POLLERR)) {
                ssize_t got = recv(to->fd, answers, sizeof answers, MSG_DONTWAIT);
                if (got > 0) received += got;
                gone = !got || (got < 0 && errno != EAGAIN);
            }
            if (!gone && to->revents & POLLOUT) {
                size_t left = size - sent_to[i];
                ssize_t gave = send(to->fd, bytes + sent_to[i], left < chunk ? left : chunk,
                                    MSG_DONTWAIT | MSG_NOSIGNAL);
                if (gave > 0) {
                    sent += gave;
                    sent_to[i] = (sent_to[i] + gave) % size;
                }
                gone = gave < 0 && errno != EAGAIN;
            }
            if (gone) {
                /* It comes again, and begins anew. */
                close(to->fd);
                to->fd = connect_to(path);
                sent_to[i] = 0;
                reconnected++;
            }
        }
    }
    printf("{\"seconds\":%.6f,\"sent\":%lld,\"received\":%lld,\"reconnected\":%lld}\n",
           now() - began, sent, received, reconnected);
    return 0;
}

/* Locking: splice(2) from an empty socket waits with the lock of the pipe. */

static int starts_with(pid_t child, const char *file, const char *after, const char *expected) {
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/%s", child, file);
    FILE *opened = fopen(path, "r");
    if (!opened) die(path);
    if (!fgets(text, sizeof text, opened)) text[0] = '\0';
    fclose(opened);
    const char *at = strstr(text, after);
    return at && !strncmp(at + strlen(after), expected, strlen(expected));
}

/* It sleeps in splice(2): for bytes of the socket, as for the lock it would wait in state D. */
static int holds_lock(pid_t child) {
    char call[16];
    snprintf(call, sizeof call, "%d ", SYS_splice);
    return starts_with(child, "syscall", "", call) && starts_with(child, "stat", ") ", "S");
}

static pid_t start_splice(const int *ends, int into, int filled) {
    static char bytes[FILLING_BYTES];
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child) return child;
    signal(SIGTERM, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ends[1]);
    memset(bytes, 'x', sizeof bytes);
    if (filled && write(into, bytes, sizeof bytes) < 0) die("write");
    _exit(splice(ends[0], NULL, into, NULL, sizeof bytes, 0) < 0);
}

/* Have a child hold the lock, with bytes in the pipe or with none; the daemon may take them first. */
static pid_t take_lock(const int *ends, int into, int watched, int filled) {
    for (int tries = 0; tries < MOST_TRIES; tries++) {
        int status;
        pid_t child = start_splice(ends, into, filled);
        while (!holds_lock(child) && !waitpid(child, &status, WNOHANG)) {}
        struct pollfd bytes = {.fd = watched, .events = POLLIN};
        poll(&bytes, 1, 0);
        if (!(bytes.revents & POLLIN) == !filled) return child;
        if (write(ends[1], "x", 1) != 1) die("write");
        if (waitpid(child, &status, 0) < 0 && errno != ECHILD) die("wait");
    }
    fprintf(stderr, "abuse: the pipe cannot be locked with%s bytes in it\n", filled ? "" : "out");
    exit(1);
}

static int lock(int option_count, char **options) {
    int ends[2], into = atoi(option(option_count, options, "fd", NULL));
    int filled = atoi(option(option_count, options, "filled", "0"));
    double seconds = atof(option(option_count, options, "seconds", "3600"));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", into);
    /* Opened now, as it would wait for the lock later; poll(2) does not. */
    int watched = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (watched < 0) die(path);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) die("socketpair");
    pid_t child = take_lock(ends, into, watched, filled);
    struct timespec time = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
    printf("{\"locked\":true}\n");
    fflush(stdout);
    if (!stopped) nanosleep(&time, NULL);
    /* The end of what it waits for ends the splice. */
    close(ends[1]);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
    printf("{\"locked\":false}\n");
    return 0;
}

/* Burning */

static int burn(void) {
    double began = now();
    while (!stopped) {}
    printf("{\"seconds\":%.6f}\n", now() - began);
    return 0;
}

int main(int count, char **arguments) {
    obey();
    if (count > 1 && !strcmp(arguments[1], "talk")) return talk(count - 2, arguments + 2);
    if (count > 1 && !strcmp(arguments[1], "lock")) return lock(count - 2, arguments + 2);
    if (count > 1 && !strcmp(arguments[1], "burn")) return burn();
    fprintf(stderr, "usage: abuse talk|lock|burn NAME=VALUE...\n");
    return 2;
}
