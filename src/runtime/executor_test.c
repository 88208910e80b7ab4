/* executor_test.c: executors of a pool do not wait for one another while there may be more threads. */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "runtime/executor.h"

/* An engine whose items wait for `before`, if any, and let go who waits for `after`. */
struct gate {
    struct tl_engine base;
    sem_t *before, *after;
};

static void pass(struct tl_engine *base, struct tl_item **items, size_t count) {
    struct gate *gate = (struct gate *)base;
    (void)items;
    (void)count;
    if (gate->before)
        while (sem_wait(gate->before) != 0)
            ;
    if (gate->after)
        sem_post(gate->after);
}

static const struct tl_engine_ops ops = {.submit = pass};

static void nobody(void *context) { (void)context; }

static void order(struct tl_executor_thread *executor, struct tl_instance *instance) {
    struct tl_item **items = tl_mem_zalloc(sizeof *items);
    tl_executor_order(executor,
                      &(struct tl_order){.kind = TL_ORDER_RUN, .instance = instance, .items = items, .count = 1});
}

/* The one thread is idle when both orders come, and the first waits for the second: another thread has to be started,
 * whether the first one has woken by then or not. */
static void one_that_blocks_holds_up_nobody(void **state) {
    (void)state;
    sem_t opened, ended;
    struct tl_inbox inbox;
    sem_init(&opened, 0, 0);
    sem_init(&ended, 0, 0);
    tl_inbox_init(&inbox, nobody, NULL);
    for (int round = 0; round < 100; round++) {
        struct tl_executor_pool *pool = tl_executor_pool_create(2);
        struct gate gates[] = {{.base.ops = &ops, .after = &ended},
                               {.base.ops = &ops, .before = &opened, .after = &ended},
                               {.base.ops = &ops, .after = &opened}};
        struct tl_instance instances[3] = {0};
        struct tl_executor_thread *executors[3];
        for (size_t i = 0; i < 3; i++) {
            executors[i] = tl_executor_create_pooled(pool, &inbox);
            instances[i].engine = &gates[i].base;
        }
        for (size_t i = 0; i < 3; i++) {
            order(executors[i], &instances[i]);
            if (i != 1)
                while (sem_wait(&ended) != 0)
                    ;
        }
        for (size_t i = 0; i < 3; i++)
            tl_executor_destroy(executors[i]);
        tl_executor_pool_destroy(pool);
    }
    tl_inbox_fini(&inbox);
    sem_destroy(&opened);
    sem_destroy(&ended);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_that_blocks_holds_up_nobody)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
