/* Closed-loop load of lines over TCP, what wrk is for HTTP: each connection sends a line, waits for
 * the line that answers it, and sends its next one.
 *
 *   lines PORT CONNECTIONS SECONDS FILE
 *
 * FILE holds the lines; each connection begins at another one and goes through all of them. An
 * answer that does not begin with {"Success":true or = is an error. Prints one JSON object: answers,
 * errors, seconds, and latencies in microseconds at 50, 99 and 99.9 percent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_US 1000000
#define ANSWER_BYTES 65536

struct connection {
    int fd;
    long line;
    long long sent_ns;
    size_t got;
    char head[16];
};

static long histogram[MOST_US + 1];
static long answers, errors;
static char **lines;
static size_t *sizes;
static long line_count;

static long long now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void read_lines(const char *path) {
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0, space = 0;
    ssize_t size;
    if (!file) die(path);
    while ((size = getline(&line, &room, file)) > 0) {
        if ((size_t)line_count == space) {
            space = space ? 2 * space : 1024;
            lines = realloc(lines, space * sizeof *lines);
            sizes = realloc(sizes, space * sizeof *sizes);
        }
        lines[line_count] = line;
        sizes[line_count++] = (size_t)size;
        line = NULL;
    }
    fclose(file);
    if (!line_count) {
        fprintf(stderr, "%s holds no lines\n", path);
        exit(1);
    }
}

static void ask(struct connection *each) {
    size_t size = sizes[each->line];
    each->got = 0;
    each->sent_ns = now_ns();
    /* A line is far smaller than a socket's buffer, which is empty: it is taken whole. */
    if (send(each->fd, lines[each->line], size, MSG_NOSIGNAL) != (ssize_t)size) die("send");
    each->line = (each->line + 1) % line_count;
}

static int open_one(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return fd;
}

static void hear(struct connection *each) {
    static char buffer[ANSWER_BYTES];
    ssize_t size = recv(each->fd, buffer, sizeof buffer, 0);
    if (size <= 0) {
        fprintf(stderr, "the server closed a connection\n");
        exit(1);
    }
    for (ssize_t at = 0; at < size && each->got + (size_t)at < sizeof each->head; at++)
        each->head[each->got + (size_t)at] = buffer[at];
    each->got += (size_t)size;
    if (buffer[size - 1] != '\n') return;
    long us = (long)((now_ns() - each->sent_ns) / 1000);
    histogram[us < MOST_US ? us : MOST_US]++;
    answers++;
    if (each->head[0] != '=' && memcmp(each->head, "{\"Success\":true", 15) != 0) errors++;
    ask(each);
}

static long percentile(double share) {
    long wanted = (long)((double)answers * share), seen = 0;
    for (long us = 0; us <= MOST_US; us++)
        if ((seen += histogram[us]) > wanted) return us;
    return MOST_US;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: lines PORT CONNECTIONS SECONDS FILE\n");
        return 2;
    }
    int count = atoi(argv[2]), poll = epoll_create1(0);
    double seconds = atof(argv[3]);
    read_lines(argv[4]);
    struct connection *all = calloc((size_t)count, sizeof *all);
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        all[i].fd = open_one(atoi(argv[1]));
        /* Spread over the file: together they have asked for all of it soon. */
        all[i].line = i * line_count / count;
        if (epoll_ctl(poll, EPOLL_CTL_ADD, all[i].fd, &event)) die("epoll_ctl");
    }
    long long begun_ns = now_ns(), end_ns = begun_ns + (long long)(seconds * 1e9);
    for (int i = 0; i < count; i++) ask(&all[i]);
    while (now_ns() < end_ns) {
        struct epoll_event events[64];
        int ready = epoll_wait(poll, events, 64, 100);
        if (ready < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < ready; i++) hear(events[i].data.ptr);
    }
    double took_s = (double)(now_ns() - begun_ns) / 1e9;
    printf("{\"answers\": %ld, \"errors\": %ld, \"seconds\": %.6f, \"p50_us\": %ld, "
           "\"p99_us\": %ld, \"p999_us\": %ld}\n",
           answers, errors, took_s, percentile(0.5), percentile(0.99), percentile(0.999));
    return 0;
}
