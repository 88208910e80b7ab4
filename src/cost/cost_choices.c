/* cost_choices.c: settings that were chosen by measuring: from the profile into the settings of an engine. */
#include <string.h>

#include "base/str.h"
#include "cost/cost_impl.h"

const json_t *tl_cost_choices(const struct tl_cost *cost, const char *name) {
    const struct cost_engine *engine = tl_cost_find(cost, name);
    return engine && engine->profile ? json_object_get(engine->profile, "choices") : NULL;
}

void tl_cost_fill_choices(const json_t *choices, json_t *settings) {
    const char *name;
    json_t *choice;
    json_object_foreach((json_t *)choices, name, choice) {
        const json_t *written = json_object_get(settings, name);
        if (written && (!json_is_string(written) || strcmp(json_string_value(written), "auto") != 0))
            continue;
        struct tl_str because = TL_STR_INIT;
        tl_str_printf(&because, "%s_because", name);
        json_object_set(settings, name, json_object_get(choice, "used"));
        json_object_set(settings, because.data, json_object_get(choice, "because"));
        tl_str_fini(&because);
    }
}
