/* virtual.h: emulated engines in virtual time. An instance that has joined a world asks it to let time pass
 * instead of sleeping; nothing else of it changes. For simulators and tests, on one thread. */
#ifndef TL_ENGINE_EMULATED_VIRTUAL_H
#define TL_ENGINE_EMULATED_VIRTUAL_H

#include "engine/engine_impl.h"

struct tl_emulated_world {
    void *context;
    /* Called once per quantum that takes time, within `step` and before it reports what the quantum finished. */
    void (*spend)(void *context, uint64_t nanoseconds);
    /* Prefixes and temporary collections of its instances that are alive now: 0 when all values are gone. */
    uint64_t resources;
};

/* Before open; `engine` is of type emulated. The world must outlive the instance and the values that it gave. */
void tl_emulated_join(struct tl_engine *engine, struct tl_emulated_world *world);

#endif
