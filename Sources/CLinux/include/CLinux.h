// What module Glibc does not show to Swift: headers that it leaves out, and functions behind macros or _GNU_SOURCE.
// _GNU_SOURCE itself must not be defined here: it changes types that module Glibc has already defined.
#ifndef CLINUX_H
#define CLINUX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

struct sockaddr;

// Enumerators and macros that the importer drops or gives another type.
static const uint32_t clinux_EPOLLIN = EPOLLIN;
static const uint32_t clinux_EPOLLOUT = EPOLLOUT;
static const uint32_t clinux_EPOLLRDHUP = EPOLLRDHUP;
static const uint32_t clinux_EPOLLHUP = EPOLLHUP;
static const uint32_t clinux_EPOLLERR = EPOLLERR;
static const uint32_t clinux_EPOLLET = 1u << 31;
static const uint32_t clinux_EPOLLEXCLUSIVE = 1u << 28;
/// Of poll(2); the same bit as EPOLLRDHUP.
static const int16_t clinux_POLLRDHUP = 0x2000;

/// socket(2) for a non-blocking TCP socket with close-on-exec.
int clinux_stream_socket(int family);
/// accept4(2), non-blocking and close-on-exec.
int clinux_accept(int fd, struct sockaddr *address, unsigned int *length);
/// eventfd(2), non-blocking and close-on-exec.
int clinux_eventfd(void);
/// TCP_NODELAY and SO_SNDBUF.
void clinux_prepare(int fd, int send_buffer_bytes);
/// pipe2(2) with close-on-exec.
int clinux_pipe(int *ends);
/// ioctl(2) SIOCOUTQ: bytes of a socket that the peer has not taken yet; 0 where that is not known.
int clinux_unsent(int fd);
/// SO_REUSEADDR, and IPV6_V6ONLY for AF_INET6.
void clinux_prepare_listener(int fd, int family);
/// SO_PEERCRED of a Unix socket. 0, or -1 with errno.
int clinux_peer(int fd, int32_t *process, uint32_t *user, uint32_t *group);
/// SO_PEERGROUPS of a Unix socket: how many there are, of which at most `room` are stored, and none where there are more. -1: unknown.
int clinux_peer_groups(int fd, uint32_t *groups, int room);
/// SO_DOMAIN, SO_TYPE, SO_PROTOCOL, SO_ACCEPTCONN and IPV6_V6ONLY of any socket; -1 where it has none.
struct clinux_socket_kind { int domain, type, protocol, listens, only_ipv6; };
struct clinux_socket_kind clinux_socket_kind(int fd);
/// socket(2) for a non-blocking Unix stream socket with close-on-exec.
/// Cores in the affinity mask.
int clinux_affinity_count(void);
/// Raises RLIMIT_NOFILE to its hard limit; gives the limit in force.
uint64_t clinux_raise_descriptor_limit(void);
/// Nice value 10 for the calling thread.
void clinux_lower_priority(void);
/// SCHED_BATCH for the calling thread; where that is forbidden, it stays as it was.
void clinux_wait_for_others(void);
/// memmem(3): where `needle` begins, or NULL.
const void *clinux_find(const void *bytes, size_t count, const void *needle, size_t needle_count);
/// PR_SET_TIMERSLACK: how late, in nanoseconds, the calling thread may be woken by a time-out; 50,000 without this.
void clinux_wake_in_time(unsigned long nanoseconds);
/// Names the calling thread, at most 15 bytes.
void clinux_name_thread(const char *name);

/// Makes the terminal of standard input raw (signals of keys stay), writes `hello` to standard output, and sees to it that a deadly signal
/// writes `bye` (at most 256 bytes) and restores it before it ends the process. Nothing where that is so already. 0, or -1 with errno.
int clinux_terminal_take(const char *hello, size_t hello_count, const char *bye, size_t bye_count);
/// Writes `bye` and restores the terminal, once. Any thread, any signal handler.
void clinux_terminal_give_back(void);
/// TIOCGWINSZ of standard output. 0, or -1 with errno.
int clinux_terminal_size(int *columns, int *rows);

#endif
