#include "CVersion.h"

#ifndef GOLEAPAI_WS_COMMIT
#define GOLEAPAI_WS_COMMIT "unknown"
#endif

const char *cversion_commit(void) { return GOLEAPAI_WS_COMMIT; }
