/* The floor: what moving bytes from a pipe into rotated files costs when nothing else is done.
 *
 *   floor read|splice DIRECTORY        from standard input, until its end
 *
 * The size of a read and of the pipe, and the rest after a read that found little, are the best of
 * those that were tried. There is no reactor, no protocol, and no promise here.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIPE = 1 << 20, CHUNK = 1 << 18, LITTLE = 1 << 17, FILE_SIZE = 2 << 20, BACKUPS = 3 };

static char buffer[CHUNK];

static int roll_over(int file) {
    char from[] = "log.0", to[] = "log.0";
    if (file >= 0) {
        close(file);
        /* A rename over a file makes ext4 write the renamed one to the disk. */
        to[4] = '0' + BACKUPS - 1;
        unlink(to);
        for (int i = BACKUPS - 1; i > 0; i--) {
            from[4] = '0' + i - 1;
            to[4] = '0' + i;
            rename(from, to);
        }
        rename("log", "log.0");
    }
    return open("log", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

int main(int count, char **arguments) {
    if (count != 3 || chdir(arguments[2])) {
        fprintf(stderr, "usage: floor read|splice DIRECTORY\n");
        return 2;
    }
    int splices = !strcmp(arguments[1], "splice");
    size_t room = FILE_SIZE;
    ssize_t moved;
    fcntl(STDIN_FILENO, F_SETPIPE_SZ, PIPE);
    int file = roll_over(-1);
    for (;;) {
        size_t most = room < CHUNK ? room : CHUNK;
        if (splices) {
            moved = splice(STDIN_FILENO, NULL, file, NULL, most, SPLICE_F_MOVE);
        } else {
            moved = read(STDIN_FILENO, buffer, most);
            if (moved > 0 && write(file, buffer, moved) != moved) moved = -1;
        }
        if (moved <= 0) break;
        room -= moved;
        if (!room) {
            file = roll_over(file);
            room = FILE_SIZE;
        } else if (moved < LITTLE && most == CHUNK) {
            usleep(1000);
        }
    }
    if (moved < 0) perror("floor");
    return moved < 0;
}
