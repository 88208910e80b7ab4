/* choice_impl.h: what the files of src/choice share; for this folder only. */
#ifndef TL_CHOICE_CHOICE_IMPL_H
#define TL_CHOICE_CHOICE_IMPL_H

#include "choice/choice.h"

struct trial {
    double ms, busy_ms;
    uint32_t events; /* of the simulation */
};

/* ---- trial.c ---- */
/* Runs the plan in virtual time. TL_ERR_UNSUPPORTED: an input cannot be made up, or the machine lacks an engine. */
enum tl_status tl_choice_try(struct tl_plan *plan, const struct tl_choice_machine *machine,
                             const struct tl_choice_load *load, struct trial *trial, struct tl_error *error);

#endif
