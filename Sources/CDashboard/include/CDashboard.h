// The files of the web dashboard, and the protocol for machines, part of the program. C, because its compiler takes a file as it is (#embed, N3017): as array literals of Swift,
// which is what .embedInCode makes of them, they took 20 s to compile; this takes 0.1 s, and knows when a file has changed.
#ifndef CDASHBOARD_H
#define CDASHBOARD_H

#include <stddef.h>

struct cdashboard_file {
    const char *name;
    const unsigned char *bytes;
    size_t count;
};

/// The file of this number, from 0; its name is null behind the last one. What it points to is constant, and lives as long as the program.
struct cdashboard_file cdashboard_file(size_t number);

#endif
