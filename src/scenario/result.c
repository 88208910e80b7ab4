/* result.c: the life of a result, and simple questions to it. */
#include "scenario/result.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/percentile.h"

const char *const tl_ending_names[ENDINGS] = {"done", "failed", "cancelled", "expired", "refused"};

void tl_numbers_add(struct numbers *numbers, double number) {
    numbers->items = tl_mem_grow(numbers->items, &numbers->capacity, numbers->count + 1, sizeof number);
    numbers->items[numbers->count++] = number;
}

struct numbers tl_numbers_sorted(const struct numbers *numbers) {
    struct numbers copy = {.count = numbers->count, .capacity = numbers->count};
    copy.items = tl_mem_alloc((numbers->count + 1) * sizeof *copy.items);
    if (numbers->count > 0)
        memcpy(copy.items, numbers->items, numbers->count * sizeof *copy.items);
    tl_percentile_sort(copy.items, copy.count);
    return copy;
}

double tl_numbers_quantile(const struct numbers *sorted, double p) {
    return tl_percentile(sorted->items, sorted->count, p);
}

double tl_numbers_mean(const struct numbers *numbers) {
    double sum = 0;
    for (size_t i = 0; i < numbers->count; i++)
        sum += numbers->items[i];
    return numbers->count ? sum / (double)numbers->count : 0;
}

double tl_result_seconds(const struct tl_scenario_result *result) {
    return result->to > result->from ? (double)(result->to - result->from) / 1e9 : 0;
}

double tl_result_primitives(const struct tl_scenario_result *result) {
    return (double)(result->counters.items_started + result->counters.builtins);
}

static void load_fini(struct load_result *load) {
    tl_mem_free(load->arrivals.items);
    tl_mem_free(load->latencies.items);
    tl_mem_free(load->first.items);
    tl_mem_free(load->failure);
}

void tl_scenario_result_destroy(struct tl_scenario_result *result) {
    if (!result)
        return;
    for (size_t i = 0; i < result->load_count; i++)
        load_fini(&result->loads[i]);
    load_fini(&result->all);
    for (size_t i = 0; i < result->shown_count; i++)
        tl_mem_free(result->shown[i].label);
    tl_series_fini(&result->device_busy);
    tl_series_fini(&result->queues);
    tl_series_fini(&result->flights);
    tl_mem_free(result->loads);
    tl_mem_free(result->engines);
    tl_mem_free(result->instances);
    tl_mem_free(result->devices);
    tl_mem_free(result->shown);
    tl_mem_free(result);
}
