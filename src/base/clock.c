#define _POSIX_C_SOURCE 200809L

#include "base/clock.h"

#include <time.h>

#include "base/error.h"

uint64_t tl_clock_now(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        TL_BUG("no monotonic clock");
    uint64_t ns = (uint64_t)now.tv_sec * TL_NS_PER_S + (uint64_t)now.tv_nsec;
    return ns == 0 ? 1 : ns;
}
