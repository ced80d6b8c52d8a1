// A terminal that must be given back however the process ends. Signal handlers of Swift could touch what is not safe in them.

#include "CLinux.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static char farewell[256];
static size_t farewell_count;
// Written by the thread of the terminal, read by handlers: what is above is whole while it is 1.
static atomic_int is_taken;

static const int deadly[] = {SIGSEGV, SIGABRT, SIGILL, SIGBUS, SIGTRAP, SIGFPE, SIGQUIT, SIGSYS};

void clinux_terminal_give_back(void) {
    if (!atomic_exchange(&is_taken, 0)) return;
    int code = errno;
    size_t at = 0;
    while (at < farewell_count) {
        ssize_t count = write(STDOUT_FILENO, farewell + at, farewell_count - at);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        at += (size_t)count;
    }
    tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    errno = code;
}

static void on_deadly_signal(int number) {
    clinux_terminal_give_back();
    // SA_RESETHAND has put back the default: the signal ends the process as it would have, with its core and its status.
    raise(number);
}

int clinux_terminal_take(const char *hello, size_t hello_count, const char *bye, size_t bye_count) {
    if (atomic_load(&is_taken)) return 0;
    if (bye_count > sizeof farewell) { errno = EINVAL; return -1; }
    if (tcgetattr(STDIN_FILENO, &saved)) return -1;
    struct termios raw = saved;
    raw.c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INLCR | ISTRIP | IXON);
    // ISIG stays: Ctrl-C and Ctrl-Z are signals to the whole job, as with other programs.
    raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | IEXTEN);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    memcpy(farewell, bye, bye_count);
    farewell_count = bye_count;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw)) return -1;
    atomic_store(&is_taken, 1);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_deadly_signal;
    action.sa_flags = (int)(SA_RESETHAND | SA_NODEFER);
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++) sigaction(deadly[i], &action, NULL);
    size_t at = 0;
    while (at < hello_count) {
        ssize_t count = write(STDOUT_FILENO, hello + at, hello_count - at);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        at += (size_t)count;
    }
    return 0;
}

int clinux_terminal_size(int *columns, int *rows) {
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size)) return -1;
    *columns = size.ws_col;
    *rows = size.ws_row;
    return 0;
}
