/* machine.h: the configuration's engines as choices between plans see them. */
#ifndef TL_RUNTIME_MACHINE_H
#define TL_RUNTIME_MACHINE_H

#include "choice/choice.h"
#include "runtime/config.h"

/* Borrows from the configuration and the cost, which must outlive it. */
void tl_runtime_machine_init(struct tl_choice_machine *machine, const struct tl_config *config, struct tl_cost *cost);
void tl_runtime_machine_fini(struct tl_choice_machine *machine);

#endif
