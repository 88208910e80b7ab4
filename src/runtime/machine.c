#include "runtime/machine.h"

#include <string.h>

#include "base/mem.h"

void tl_runtime_machine_init(struct tl_choice_machine *machine, const struct tl_config *config, struct tl_cost *cost) {
    size_t count = tl_config_engine_count(config);
    struct tl_choice_engine *engines = tl_mem_zalloc((count + 1) * sizeof *engines);
    for (size_t i = 0; i < count; i++) {
        const struct tl_config_engine *engine = tl_config_engine(config, i);
        engines[i] = (struct tl_choice_engine){
            .name = engine->name,
            .emulated = strcmp(engine->type, "emulated") == 0,
            .settings = engine->settings,
            .devices = engine->devices,
            .device_count = engine->device_count,
            .instances = engine->instances,
        };
    }
    *machine = (struct tl_choice_machine){
        .engines = engines, .count = count, .cost = cost, .policy = tl_policy_find(tl_config_policy(config))};
}

void tl_runtime_machine_fini(struct tl_choice_machine *machine) {
    tl_mem_free((void *)machine->engines);
    *machine = (struct tl_choice_machine){0};
}
