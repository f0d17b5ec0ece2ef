/* Puts load on a log daemon: writes to its pipes, or calls it over a socket, and measures itself.
 *
 *   load write fds=3,4 size=65536 seconds=1.5       a process for each pipe writes as fast as it can
 *   load write fds=3,4 size=100 seconds=5 rate=10000    one process, so many writes a second in all
 *   load write fds=3 size=100 seconds=5 since=2         what a write takes is counted from then on
 *   load call socket=PATH frames=FILE count=1000        sends the requests of FILE, one after another
 *   load call socket=PATH frames=FILE seconds=1 every=2000   one at most every so many microseconds
 *
 * With daemon=PID it tells too how much processor time that process used from a request to its
 * answer, which other work of the machine does not change.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

#define LINE 100
#define DIGITS 16
#define MOST_PIPES 1024
#define MOST_CONNECTIONS 64
#define MOST_IN_FLIGHT 1024
#define MOST_THREADS 64
#define BUCKETS 32
#define NS 1000000000LL

/* Of REPLY_WITH_FDS, in the header of libvirt's protocol. */
enum { TYPE_AT = 16, STATUS_AT = 24, HEADER = 28, WITH_DESCRIPTORS = 5 };

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NS + time.tv_nsec;
}

static double cpu_seconds(int who) {
    struct rusage used;
    getrusage(who, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec +
           1e-6 * (used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static void sleep_until(int64_t due) {
    struct timespec time = {due / NS, due % NS};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

/* Processor time of another process. The kernel counts it from tick to tick, which are milliseconds,
 * except for whoever watches performance. */

static int watched[MOST_THREADS], watched_count;

/* Watch the threads that a process has; it stays at none if that is not allowed. */
static void watch_process(const char *pid) {
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event,
                                    .config = PERF_COUNT_SW_TASK_CLOCK,
                                    /* (needs no privilege then, and counts the same) */
                                    .exclude_kernel = 1, .exclude_hv = 1};
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/task", pid);
    DIR *threads = opendir(path);
    if (!threads) die(path);
    for (struct dirent *thread; (thread = readdir(threads)) && watched_count < MOST_THREADS;) {
        if (thread->d_name[0] == '.') continue;
        int fd = syscall(SYS_perf_event_open, &event, atoi(thread->d_name), -1, -1, 0);
        if (fd >= 0) watched[watched_count++] = fd;
    }
    closedir(threads);
}

static int64_t used_by_watched(void) {
    int64_t all = 0, one;
    for (int i = 0; i < watched_count; i++)
        if (read(watched[i], &one, sizeof one) == sizeof one) all += one;
    return all;
}

/* Records; one that is shorter than its number has none. */

static size_t record_size;

static char *make_record(size_t size) {
    char *record = malloc(size);
    record_size = size;
    if (!record) die("memory");
    memset(record, 'x', size);
    if (size > DIGITS) memset(record, '0', DIGITS);
    for (size_t end = LINE; end < size; end += LINE) record[end - 1] = '\n';
    record[size - 1] = '\n';
    return record;
}

static void number_record(char *record, int64_t number) {
    if (record_size <= DIGITS) return;
    for (int digit = DIGITS - 1; digit >= 0; digit--, number /= 10)
        record[digit] = '0' + number % 10;
}

static void next_record(char *record) {
    int digit = DIGITS - 1;
    if (record_size <= DIGITS) return;
    while (record[digit] == '9') record[digit--] = '0';
    record[digit]++;
}

/* Writing */

struct written {
    int64_t records, longest, ended;
    int64_t histogram[BUCKETS]; /* of microseconds, bucket i up to 2**i */
};

static int64_t counted_since;

static void note(struct written *written, int64_t before, int64_t after) {
    int bucket = 0;
    int64_t took = after - (before < counted_since ? counted_since : before);
    if (took < 0) return;
    if (took > written->longest) written->longest = took;
    for (int64_t us = took / 1000; us && bucket < BUCKETS - 1; us >>= 1) bucket++;
    written->histogram[bucket]++;
}

static void write_full_speed(int pipe, size_t size, int64_t most, int64_t until,
                             struct written *written) {
    char *record = make_record(size);
    int64_t before = now();
    while (!stopped && written->records < most && before < until) {
        ssize_t count = write(pipe, record, size);
        int64_t after = now();
        if (count < 0 && errno != EINTR) die("write");
        if (count != (ssize_t)size) break;
        note(written, before, after);
        written->records++;
        next_record(record);
        before = after;
    }
    written->ended = before;
}

static void write_at_rate(const int *pipes, int count, size_t size, double rate, int64_t began,
                          int64_t until, struct written *written) {
    char *record = make_record(size);
    prctl(PR_SET_TIMERSLACK, 1);
    for (int64_t i = 0; !stopped; i++) {
        int64_t due = began + (int64_t)(i * NS / rate);
        if (due >= until) break;
        sleep_until(due);
        /* A prime step, so that neighbours in time are not neighbours in the daemon's tables. */
        int which = (int)(i * 7919 % count);
        number_record(record, written[which].records);
        int64_t before = now();
        if (write(pipes[which], record, size) != (ssize_t)size) die("write");
        note(&written[which], before, now());
        written[which].records++;
    }
    written[0].ended = now();
}

static void run_writers(const int *pipes, int count, size_t size, int64_t most, int64_t nanoseconds,
                        struct written *written, int64_t *began) {
    int gate[2];
    char byte;
    if (pipe(gate)) die("pipe");
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child < 0) die("fork");
        if (child) continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(gate[1]);
        for (int j = 0; j < count; j++)
            if (j != i) close(pipes[j]);
        if (read(gate[0], &byte, 1)) die("gate");
        write_full_speed(pipes[i], size, most, now() + nanoseconds, &written[i]);
        _exit(0);
    }
    *began = now();
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < count; i++) {
        int status;
        while (wait(&status) < 0)
            if (errno != EINTR) die("wait");
        if (status) {
            fprintf(stderr, "load: a writer ended with status %x\n", status);
            exit(1);
        }
    }
}

static int write_mode(int option_count, char **options) {
    int pipes[MOST_PIPES], count = 0;
    size_t size = strtoull(option(option_count, options, "size", NULL), NULL, 10);
    double seconds = atof(option(option_count, options, "seconds", "3600"));
    double rate = atof(option(option_count, options, "rate", "0"));
    int64_t bytes = atoll(option(option_count, options, "bytes", "0"));
    int64_t most = bytes ? bytes / (int64_t)size : INT64_MAX;
    char *fds = strdup(option(option_count, options, "fds", NULL));
    for (char *fd = strtok(fds, ","); fd && count < MOST_PIPES; fd = strtok(NULL, ","))
        pipes[count++] = atoi(fd);
    struct written *written = mmap(NULL, count * sizeof *written, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (written == MAP_FAILED) die("mmap");

    int64_t nanoseconds = (int64_t)(seconds * NS), began = now();
    counted_since = began + (int64_t)(atof(option(option_count, options, "since", "0")) * NS);
    if (rate > 0)
        write_at_rate(pipes, count, size, rate, began, began + nanoseconds, written);
    else if (count == 1)
        write_full_speed(pipes[0], size, most, began + nanoseconds, written);
    else
        run_writers(pipes, count, size, most, nanoseconds, written, &began);

    struct written all = {0};
    for (int i = 0; i < count; i++) {
        if (written[i].longest > all.longest) all.longest = written[i].longest;
        if (written[i].ended > all.ended) all.ended = written[i].ended;
        for (int j = 0; j < BUCKETS; j++) all.histogram[j] += written[i].histogram[j];
    }
    printf("{\"began\":%.9f,\"ended\":%.9f,\"cpu_s\":%.6f,\"longest_us\":%.3f,\"histogram\":[",
           began / 1e9, all.ended / 1e9, cpu_seconds(RUSAGE_SELF) + cpu_seconds(RUSAGE_CHILDREN),
           all.longest / 1e3);
    for (int j = 0; j < BUCKETS; j++) printf(j ? ",%lld" : "%lld", (long long)all.histogram[j]);
    printf("],\"records\":[");
    for (int i = 0; i < count; i++) printf(i ? ",%lld" : "%lld", (long long)written[i].records);
    printf("]}\n");
    return 0;
}

/* Calling */

struct request {
    const char *bytes;
    size_t length;
};

struct connection {
    int socket, in_flight, oldest;
    int64_t sent_at[MOST_IN_FLIGHT], used_at[MOST_IN_FLIGHT];
    char *buffer;
    size_t filled, capacity, searched;
};

static int lines; /* Requests and replies end with a newline, instead of beginning with a length. */

static uint32_t word(const char *bytes) {
    const unsigned char *b = (const unsigned char *)bytes;
    return (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
}

static struct request *read_requests(const char *path, int *count) {
    FILE *file = fopen(path, "rb");
    struct stat status;
    if (!file || fstat(fileno(file), &status)) die(path);
    char *bytes = malloc(status.st_size);
    if (fread(bytes, 1, status.st_size, file) != (size_t)status.st_size) die(path);
    fclose(file);
    struct request *requests = NULL;
    *count = 0;
    for (char *at = bytes, *end = bytes + status.st_size; at < end;) {
        size_t length = lines ? (size_t)((char *)memchr(at, '\n', end - at) + 1 - at) : word(at);
        requests = realloc(requests, (*count + 1) * sizeof *requests);
        requests[(*count)++] = (struct request){at, length};
        at += length;
    }
    return requests;
}

static void send_all(int socket, const char *bytes, size_t length) {
    while (length) {
        ssize_t count = send(socket, bytes, length, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) die("send");
        bytes += count;
        length -= count;
    }
}

/* Descriptors that come with the bytes are kept open until the process ends. */
static void receive_some(struct connection *from) {
    if (from->filled == from->capacity) {
        from->capacity = from->capacity ? 2 * from->capacity : 256 * 1024;
        from->buffer = realloc(from->buffer, from->capacity);
        if (!from->buffer) die("memory");
    }
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec vector = {from->buffer + from->filled, from->capacity - from->filled};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
                             .msg_control = control, .msg_controllen = sizeof control};
    ssize_t count = recvmsg(from->socket, &message, MSG_CMSG_CLOEXEC);
    /* (told to stop: the answers to what was sent are waited for) */
    if (count < 0 && errno == EINTR) return;
    if (count < 0) die("recvmsg");
    if (!count) {
        fprintf(stderr, "load: the daemon closed the connection\n");
        exit(1);
    }
    from->filled += count;
}

/* Give the length of the first reply in the buffer, 0 if it is not complete. */
static size_t complete_reply(struct connection *from, size_t at, int *failed) {
    const char *reply = from->buffer + at;
    size_t filled = from->filled - at;
    if (lines) {
        const char *end = memchr(reply + from->searched, '\n', filled - from->searched);
        from->searched = end ? 0 : filled;
        if (!end) return 0;
        *failed += !memmem(reply, filled < 64 ? filled : 64, "\"result\"", 8);
        return end + 1 - reply;
    }
    if (filled < HEADER) return 0;
    size_t length = word(reply);
    if (filled < length) return 0;
    size_t descriptors = word(reply + TYPE_AT) == WITH_DESCRIPTORS ? word(reply + HEADER) : 0;
    if (filled < length + descriptors) return 0;
    *failed += word(reply + STATUS_AT) != 0;
    return length + descriptors;
}

static int by_size(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

struct calling {
    const struct request *requests;
    int request_count, pipe;
    size_t burst;
    char *record;
    int64_t sent, most, until, every, due;
};

/* Wait for the next time to ask; one that has passed meanwhile is left out. */
static void wait_until_due(struct calling *calling) {
    int64_t at = now();
    if (calling->due < at) calling->due += (at - calling->due + calling->every - 1) /
                                           calling->every * calling->every;
    sleep_until(calling->due);
    calling->due += calling->every;
}

static int send_next(struct calling *calling, struct connection *to) {
    if (calling->every) wait_until_due(calling);
    if (stopped || calling->sent >= calling->most || now() >= calling->until) return 0;
    const struct request *request = &calling->requests[calling->sent++ % calling->request_count];
    if (calling->burst) {
        if (write(calling->pipe, calling->record, calling->burst) != (ssize_t)calling->burst)
            die("write");
        next_record(calling->record);
    }
    int slot = (to->oldest + to->in_flight++) % MOST_IN_FLIGHT;
    to->used_at[slot] = used_by_watched();
    to->sent_at[slot] = now();
    send_all(to->socket, request->bytes, request->length);
    return 1;
}

/* A window of requests goes out at once, when all answers to the one before are there. */
static void send_window(struct calling *calling, struct connection *to, int window) {
    static char bytes[512 * 1024];
    size_t length = 0;
    if (calling->burst || window == 1) {
        while (to->in_flight < window && send_next(calling, to)) {}
        return;
    }
    int64_t at = now();
    while (to->in_flight < window && !stopped && calling->sent < calling->most &&
           at < calling->until) {
        const struct request *next = &calling->requests[calling->sent % calling->request_count];
        if (length + next->length > sizeof bytes) break;
        memcpy(bytes + length, next->bytes, next->length);
        length += next->length;
        to->sent_at[(to->oldest + to->in_flight++) % MOST_IN_FLIGHT] = at;
        calling->sent++;
    }
    send_all(to->socket, bytes, length);
}

static void print_quantiles(const char *name, int64_t *taken, size_t count) {
    qsort(taken, count, sizeof *taken, by_size);
    printf("\"%sp50_us\":%.3f,\"%sp99_us\":%.3f,\"%slongest_us\":%.3f", name,
           count ? taken[count / 2] / 1e3 : 0, name, count ? taken[count * 99 / 100] / 1e3 : 0,
           name, count ? taken[count - 1] / 1e3 : 0);
}

static int call_mode(int option_count, char **options) {
    struct connection connections[MOST_CONNECTIONS] = {0};
    int connection_count = atoi(option(option_count, options, "connections", "1"));
    int window = atoi(option(option_count, options, "window", "1"));
    int failed = 0;
    lines = atoi(option(option_count, options, "lines", "0"));
    struct calling calling = {
        .pipe = atoi(option(option_count, options, "pipe", "-1")),
        .burst = strtoull(option(option_count, options, "burst", "0"), NULL, 10),
        .most = atoll(option(option_count, options, "count", "1000000000")),
        .every = atoll(option(option_count, options, "every", "0")) * 1000,
    };
    const char *path = option(option_count, options, "socket", NULL);
    calling.requests = read_requests(option(option_count, options, "frames", NULL),
                                     &calling.request_count);
    if (calling.burst) calling.record = make_record(calling.burst);
    if (connection_count > MOST_CONNECTIONS || window > MOST_IN_FLIGHT) {
        fprintf(stderr, "load: at most %d connections, %d in flight\n", MOST_CONNECTIONS,
                MOST_IN_FLIGHT);
        return 2;
    }
    for (int i = 0; i < connection_count; i++) connections[i].socket = connect_to(path);
    const char *daemon = option(option_count, options, "daemon", "");
    if (daemon[0]) watch_process(daemon);

    size_t capacity = 1 << 16, taken_count = 0;
    int64_t *taken = malloc(capacity * sizeof *taken), *used = malloc(capacity * sizeof *used);
    int64_t began = now(), received_bytes = 0;
    int waiting = 1;
    calling.due = began;
    calling.until = began + (int64_t)(atof(option(option_count, options, "seconds", "3600")) * NS);
    for (int i = 0; i < connection_count; i++) send_window(&calling, &connections[i], window);
    while (waiting) {
        waiting = 0;
        for (int i = 0; i < connection_count; i++) {
            struct connection *from = &connections[i];
            if (!from->in_flight) continue;
            size_t at = 0, length;
            receive_some(from);
            while (at < from->filled && (length = complete_reply(from, at, &failed))) {
                if (taken_count == capacity) {
                    capacity *= 2;
                    taken = realloc(taken, capacity * sizeof *taken);
                    used = realloc(used, capacity * sizeof *used);
                }
                taken[taken_count] = now() - from->sent_at[from->oldest];
                used[taken_count++] = used_by_watched() - from->used_at[from->oldest];
                from->oldest = (from->oldest + 1) % MOST_IN_FLIGHT;
                from->in_flight--;
                received_bytes += length;
                at += length;
            }
            from->filled -= at;
            memmove(from->buffer, from->buffer + at, from->filled);
            if (at && !from->in_flight) send_window(&calling, from, window);
            waiting |= from->in_flight;
        }
    }
    int64_t ended = now();
    printf("{\"began\":%.9f,\"ended\":%.9f,\"cpu_s\":%.6f,\"calls\":%zu,\"failed\":%d,"
           "\"bytes\":%lld,",
           began / 1e9, ended / 1e9, cpu_seconds(RUSAGE_SELF), taken_count, failed,
           (long long)received_bytes);
    print_quantiles("", taken, taken_count);
    printf(",");
    print_quantiles("used_", used, watched_count ? taken_count : 0);
    printf("}\n");
    fflush(stdout);
    if (atoi(option(option_count, options, "hold", "0"))) {
        char byte;
        while (read(STDIN_FILENO, &byte, 1) > 0) {}
    }
    return 0;
}

int main(int count, char **arguments) {
    obey();
    if (count > 1 && !strcmp(arguments[1], "write")) return write_mode(count - 2, arguments + 2);
    if (count > 1 && !strcmp(arguments[1], "call")) return call_mode(count - 2, arguments + 2);
    fprintf(stderr, "usage: load write|call NAME=VALUE...\n");
    return 2;
}
