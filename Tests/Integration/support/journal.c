/* Preloaded into the daemon: a journal that is a file. Entries go to the one that JOURNAL_FILE names, a field per line. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

int access(const char *path, int mode) {
    static int (*real)(const char *, int);
    if (strcmp(path, "/run/systemd/journal/socket") == 0) return 0;
    if (!real) real = (int (*)(const char *, int))dlsym(RTLD_NEXT, "access");
    return real(path, mode);
}

int sd_journal_sendv(const struct iovec *fields, int count) {
    static int file = -1;
    if (file < 0) file = open(getenv("JOURNAL_FILE"), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) return -1;
    for (int i = 0; i < count; i++) {
        if (write(file, fields[i].iov_base, fields[i].iov_len) < 0 || write(file, "\n", 1) < 0) return -1;
    }
    return 0;
}
