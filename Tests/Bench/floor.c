// The floor: what a fan-out over WebSocket costs when the server does nothing but send ready frames. One thread, one epoll. It knows no JSON,
// no channels, no timers; what it is given is cut at line feeds and framed, and every client gets every frame. Clients that name another
// component than c0 in their address get none: they stand for those whose filters let nothing through, which here costs nothing.
//
//   floor each|log PORT [PAD]
//
//   each   one send() per event and client
//   log    one send() of the contiguous run of frames that the client has not had yet
//   PAD    blanks put before each event, so that its frame is as large as another server's, which has an envelope around it
//
// A publisher is answered when its events are in the log, before they are sent, so that others come in meanwhile. Sockets are set up as
// the daemon's: TCP_NODELAY, SO_SNDBUF of 128 KiB. A client that falls behind by more than the log holds is closed.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOG_BYTES = 64 << 20, SEND_BYTES = 64 << 10, SEND_BUFFER = 128 << 10, READ_BYTES = 1 << 20, HEAD_BYTES = 1 << 14, EVENTS = 256 };

// One connection, by its descriptor. Of a client 32 bytes are in use.
struct connection {
    uint64_t cursor;       // of a client: where in the log it stands
    uint32_t rest;         // of a client, in mode each: bytes of a frame that was begun
    int32_t place;         // of a client: where it is in `clients`; -1 for all others
    int8_t waits;          // for writability
    int8_t is_idle;        // a client that gets nothing
    uint32_t held;         // of what is no client: bytes of a request that is not whole
    unsigned char *bytes;  // of what is no client
    uint32_t unsaid;       // of a publisher: bytes of answers that its socket has not taken; nothing is read from it meanwhile
    char *answers;
};

static struct connection *connections;
static int *clients, client_count, listener, poller, sends_each, pad;
static unsigned char *log_bytes;  // twice in a row, so that every run is contiguous
static uint64_t head;             // bytes ever written to it
static unsigned char input[READ_BYTES];

static void die(const char *what) { perror(what); exit(1); }

static void watch(int operation, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(poller, operation, fd, &event) != 0) die("epoll_ctl");
}

static void drop(int fd) {
    struct connection *c = &connections[fd];
    if (c->place >= 0) {
        int last = clients[--client_count];
        clients[c->place] = last;
        connections[last].place = c->place;
    }
    free(c->bytes);
    free(c->answers);
    *c = (struct connection){.place = -1};
    close(fd);
}

// What a client waits for; one call of at most 64 KiB in mode log, one call per frame in mode each. Whether there is more to do.
static int flush(int fd) {
    struct connection *c = &connections[fd];
    if (head - c->cursor > LOG_BYTES) { drop(fd); return 1; }
    for (;;) {
        uint64_t count = head - c->cursor;
        if (count == 0) break;
        const unsigned char *from = log_bytes + c->cursor % LOG_BYTES;
        if (sends_each) {
            if (c->rest == 0) c->rest = from[1] < 126 ? from[1] + 2u : (from[2] << 8 | from[3]) + 4u;
            count = c->rest;
        } else if (count > SEND_BYTES) {
            count = SEND_BYTES;
        }
        ssize_t sent = send(fd, from, count, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) { drop(fd); return 1; }
        if (sent < 0) {
            if (!c->waits) watch(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT);
            c->waits = 1;
            return 0;
        }
        c->cursor += (uint64_t)sent;
        if (sends_each) c->rest -= (uint32_t)sent;
        else return c->cursor < head;
    }
    return 0;
}

static void append(const unsigned char *event, size_t count) {
    size_t payload = count + (size_t)pad;
    if (payload == 0 || payload > 65535) return;
    unsigned char *to = log_bytes + head % LOG_BYTES;
    *to++ = 0x81;
    if (payload < 126) {
        *to++ = (unsigned char)payload;
    } else {
        *to++ = 126;
        *to++ = (unsigned char)(payload >> 8);
        *to++ = (unsigned char)payload;
    }
    memset(to, ' ', (size_t)pad);
    memcpy(to + pad, event, count);
    head += payload + (payload < 126 ? 2 : 4);
}

static const char *field(const unsigned char *request, size_t count, const char *name) {
    const char *line = memmem(request, count, "\r\n", 2);
    size_t length = strlen(name);
    while (line) {
        line += 2;
        if (strncasecmp(line, name, length) == 0) return line + length + strspn(line + length, ": ");
        line = memmem(line, count - (size_t)(line - (const char *)request), "\r\n", 2);
    }
    return NULL;
}

static void upgrade(int fd, const unsigned char *request, size_t count) {
    const char *key = field(request, count, "Sec-WebSocket-Key");
    char text[256], accept[64];
    unsigned char digest[SHA_DIGEST_LENGTH];
    int length = snprintf(text, sizeof text, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key ? (int)strcspn(key, "\r\n") : 0, key ? key : "");
    SHA1((unsigned char *)text, (size_t)length, digest);
    EVP_EncodeBlock((unsigned char *)accept, digest, sizeof digest);
    length = snprintf(text, sizeof text,
                      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
    struct connection *c = &connections[fd];
    free(c->bytes);
    const char *component = memmem(request, strcspn((const char *)request, "\r"), "component=", 10);
    if (component && strncmp(component + 10, "c0 ", 3) != 0) {
        *c = (struct connection){.place = -1, .is_idle = 1};
    } else {
        *c = (struct connection){.cursor = head, .place = client_count};
        clients[client_count++] = fd;
    }
    if (send(fd, text, (size_t)length, MSG_NOSIGNAL) != length) drop(fd);
}

// Sends answers, and keeps what the socket does not take. 0: the connection is of no use.
static int say(int fd, const char *answers, size_t count) {
    struct connection *c = &connections[fd];
    ssize_t sent = count ? send(fd, answers, count, MSG_NOSIGNAL) : 0;
    if (sent < 0 && errno != EAGAIN) return 0;
    size_t rest = count - (size_t)(sent < 0 ? 0 : sent);
    char *kept = rest ? memcpy(malloc(rest), answers + count - rest, rest) : NULL;
    if ((rest > 0) != (c->unsaid > 0)) watch(EPOLL_CTL_MOD, fd, rest ? EPOLLOUT : EPOLLIN);
    free(c->answers);
    c->answers = kept;
    c->unsaid = (uint32_t)rest;
    return 1;
}

// Whole requests at the beginning of `bytes`; pipelined ones are answered together. How many bytes of them were used, or -1.
static ssize_t requests(int fd, const unsigned char *bytes, size_t count) {
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"success\":true}";
    static char answers[READ_BYTES];
    size_t used = 0, said = 0;
    while (used < count) {
        const unsigned char *request = bytes + used, *end = memmem(request, count - used, "\r\n\r\n", 4);
        if (!end) break;
        size_t length = (size_t)(end + 4 - request);
        if (memcmp(request, "GET ", 4) == 0) {
            upgrade(fd, request, length);
            return (ssize_t)count;
        }
        const char *told = field(request, length, "Content-Length");
        size_t body = told ? strtoul(told, NULL, 10) : 0;
        if (body > READ_BYTES - HEAD_BYTES || memcmp(request, "POST ", 5) != 0) return -1;
        if (count - used < length + body) break;
        for (const unsigned char *line = end + 4, *last = line + body; line < last;) {
            const unsigned char *stop = memchr(line, '\n', (size_t)(last - line));
            if (!stop) stop = last;
            append(line, (size_t)(stop - line));
            line = stop + 1;
        }
        used += length + body;
        if (said + sizeof answer - 1 > sizeof answers) return -1;
        memcpy(answers + said, answer, sizeof answer - 1);
        said += sizeof answer - 1;
    }
    return say(fd, answers, said) ? (ssize_t)used : -1;
}

static void readable(int fd) {
    struct connection *c = &connections[fd];
    if (c->place >= 0 || c->is_idle) {
        // Pongs and goodbyes; a goodbye is followed by an end.
        if (recv(fd, input, sizeof input, 0) == 0) drop(fd);
        return;
    }
    if (c->held) memcpy(input, c->bytes, c->held);
    ssize_t count = recv(fd, input + c->held, sizeof input - c->held, 0);
    if (count <= 0) {
        if (count == 0 || errno != EAGAIN) drop(fd);
        return;
    }
    size_t total = c->held + (size_t)count;
    ssize_t used = requests(fd, input, total);
    if (used < 0) { drop(fd); return; }
    if (c->place >= 0 || c->is_idle) return;
    free(c->bytes);
    c->held = (uint32_t)(total - (size_t)used);
    c->bytes = c->held ? malloc(c->held) : NULL;
    if (c->held) memcpy(c->bytes, input + used, c->held);
}

static void take_connections(void) {
    for (int number = 0; number < 64; number++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1, bytes = SEND_BUFFER;
        if (fd < 0) return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
        connections[fd] = (struct connection){.place = -1};
        watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

int main(int count, char **words) {
    if (count < 3) { fprintf(stderr, "usage: floor each|log PORT [PAD]\n"); return 2; }
    sends_each = strcmp(words[1], "each") == 0;
    pad = count > 3 ? atoi(words[3]) : 0;
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    connections = calloc(limit.rlim_cur, sizeof *connections);
    clients = calloc(limit.rlim_cur, sizeof *clients);
    int memory = memfd_create("log", MFD_CLOEXEC);
    if (!connections || !clients || memory < 0 || ftruncate(memory, LOG_BYTES) != 0) die("memory");
    log_bytes = mmap(NULL, 2ul * LOG_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int half = 0; half < 2; half++)
        if (mmap(log_bytes + (size_t)half * LOG_BYTES, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory, 0) == MAP_FAILED) die("mmap");
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1024) != 0) die("listen");
    poller = epoll_create1(EPOLL_CLOEXEC);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN);

    struct epoll_event events[EVENTS];
    uint64_t sent = 0;
    int goes_on = 0, turn = 0;
    for (;;) {
        int happened = epoll_wait(poller, events, EVENTS, goes_on ? 0 : -1);
        for (int number = 0; number < happened; number++) {
            int fd = events[number].data.fd;
            if (fd == listener) { take_connections(); continue; }
            struct connection *c = &connections[fd];
            if (c->unsaid) {
                if (!say(fd, c->answers, c->unsaid)) drop(fd);
            } else if (events[number].events & EPOLLOUT) {
                c->waits = 0;
                watch(EPOLL_CTL_MOD, fd, EPOLLIN);
                goes_on |= flush(fd);
            } else {
                readable(fd);
            }
        }
        if (head == sent && !goes_on) continue;
        // One round over the clients. Each begins at another place, or the same ones would always be last.
        sent = head;
        goes_on = 0;
        if (client_count == 0) continue;
        turn = (turn + 7919) % client_count;
        for (int number = 0; number < client_count; number++) {
            int fd = clients[(turn + number) % client_count];
            if (!connections[fd].waits) goes_on |= flush(fd);
        }
    }
}
