/* Preloaded into the daemon: counts allocations and system calls in the file named by COUNT_INTO, which whoever asks reads. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ALLOCATIONS, SENDS, RECEIPTS, WAITS, COUNTERS };

static uint64_t idle[COUNTERS];
static uint64_t *counters = idle;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("COUNT_INTO");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *memory = mmap(NULL, sizeof idle, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED) counters = memory;
    close(file);
}

static void count(int which) { __atomic_fetch_add(&counters[which], 1, __ATOMIC_RELAXED); }

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t size) { count(ALLOCATIONS); return __libc_malloc(size); }
void *calloc(size_t number, size_t size) { count(ALLOCATIONS); return __libc_calloc(number, size); }
void *realloc(void *memory, size_t size) { count(ALLOCATIONS); return __libc_realloc(memory, size); }
void *aligned_alloc(size_t alignment, size_t size) { count(ALLOCATIONS); return __libc_memalign(alignment, size); }
int posix_memalign(void **memory, size_t alignment, size_t size) {
    count(ALLOCATIONS);
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : 12;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t send(int fd, const void *bytes, size_t size, int flags) { REAL(send); count(SENDS); return real(fd, bytes, size, flags); }
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) { REAL(sendmsg); count(SENDS); return real(fd, message, flags); }
ssize_t recv(int fd, void *bytes, size_t size, int flags) { REAL(recv); count(RECEIPTS); return real(fd, bytes, size, flags); }
int epoll_wait(int fd, struct epoll_event *events, int most, int time) { REAL(epoll_wait); count(WAITS); return real(fd, events, most, time); }
