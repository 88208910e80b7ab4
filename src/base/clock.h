/* clock.h: the monotonic clock. Only the runtime, executors and benchmarks read it;
 * the scheduler gets its time from its events. */
#ifndef TL_BASE_CLOCK_H
#define TL_BASE_CLOCK_H

#include <stdint.h>

#define TL_NS_PER_MS UINT64_C(1000000)
#define TL_NS_PER_S UINT64_C(1000000000)

uint64_t tl_clock_now(void); /* ns since an arbitrary start, never 0 */

#endif
