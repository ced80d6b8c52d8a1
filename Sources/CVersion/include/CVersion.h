// What only the build knows, handed on by Package.swift as macros.
#ifndef CVERSION_H
#define CVERSION_H

/// The commit that was built, from the variable GOLEAPAI_WS_COMMIT of the build's environment; "unknown" without it.
const char *cversion_commit(void);

#endif
