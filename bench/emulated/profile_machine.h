/* profile_machine.h: the engines of a profile such as rtx3090.json, each instance on a device of its own, as choices
 * between plans see them (choice/choice.h). */
#ifndef TL_BENCH_EMULATED_PROFILE_MACHINE_H
#define TL_BENCH_EMULATED_PROFILE_MACHINE_H

#include <stdio.h>

#include "base/error.h"
#include "choice/choice.h"

enum { PROFILE_ENGINES = 8,
       PROFILE_INSTANCES = 8 };

struct profile_machine {
    struct tl_choice_machine machine;
    struct tl_choice_engine engines[PROFILE_ENGINES];
    char names[PROFILE_ENGINES][PROFILE_INSTANCES][48];
    const char *devices[PROFILE_ENGINES][PROFILE_INSTANCES];
};

/* Borrows the profile and the cost, and points into itself. */
static inline void profile_machine_init(struct profile_machine *profile_machine, json_t *profile, struct tl_cost *cost) {
    struct tl_choice_machine *machine = &profile_machine->machine;
    const char *name;
    json_t *engine;
    *machine = (struct tl_choice_machine){.engines = profile_machine->engines, .cost = cost};
    json_object_foreach(profile, name, engine) {
        size_t at = machine->count++;
        uint32_t instances = (uint32_t)json_integer_value(json_object_get(engine, "instances"));
        TL_ASSERT(at < PROFILE_ENGINES && instances >= 1 && instances <= PROFILE_INSTANCES);
        for (uint32_t i = 0; i < instances; i++) {
            snprintf(profile_machine->names[at][i], sizeof profile_machine->names[at][i], "%s#%u", name, i + 1);
            profile_machine->devices[at][i] = profile_machine->names[at][i];
        }
        profile_machine->engines[at] = (struct tl_choice_engine){.name = name,
                                                                 .emulated = true,
                                                                 .settings = json_object_get(engine, "settings"),
                                                                 .devices = profile_machine->devices[at],
                                                                 .device_count = instances,
                                                                 .instances = instances};
    }
}

#endif
