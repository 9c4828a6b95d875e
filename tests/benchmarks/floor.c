/* The floor of recorded executions: the same shell, its output through a pipe, waited for, nothing recorded.
   floor SHELL RUNS AT_ONCE: starts RUNS times `SHELL -c true`, AT_ONCE at a time; prints runs a second. */
#define _GNU_SOURCE
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

extern char **environ;

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int runs = atoi(argv[2]), width = atoi(argv[3]), started = 0, ended = 0, flying = 0;
    struct pollfd fds[512];
    pid_t pids[512];
    if (width < 1 || width > 512) return 2;
    for (int i = 0; i < width; i++) fds[i].fd = -1;
    char *args[] = {argv[1], "-c", "true", NULL};
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    while (ended < runs) {
        for (int i = 0; i < width && started < runs; i++) {
            if (fds[i].fd >= 0) continue;
            int p[2];
            if (pipe2(p, O_CLOEXEC)) return 1;
            posix_spawn_file_actions_t actions;
            posix_spawn_file_actions_init(&actions);
            posix_spawn_file_actions_adddup2(&actions, p[1], 1);
            posix_spawn_file_actions_adddup2(&actions, p[1], 2);
            if (posix_spawn(&pids[i], argv[1], &actions, NULL, args, environ)) return 1;
            posix_spawn_file_actions_destroy(&actions);
            close(p[1]);
            fds[i].fd = p[0];
            fds[i].events = POLLIN;
            started++;
            flying++;
        }
        poll(fds, (nfds_t)width, -1);
        for (int i = 0; i < width; i++) {
            char buffer[4096];
            if (fds[i].fd < 0 || !fds[i].revents) continue;
            if (read(fds[i].fd, buffer, sizeof buffer) > 0) continue;
            close(fds[i].fd);
            fds[i].fd = -1;
            waitpid(pids[i], NULL, 0);
            ended++;
            flying--;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.1f\n", runs / ((double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9));
    return 0;
}
