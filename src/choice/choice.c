/* choice.c: loads, and reports of choices. */
#include "choice/choice.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

/* ---- loads ---- */

/* The nearest power of two, at most `most`; `otherwise` of 0. */
static uint32_t rounded(uint32_t value, uint32_t otherwise, uint32_t most) {
    uint32_t power = 1;
    if (value == 0)
        return otherwise;
    while (power < most && (double)power * 1.4142135 < value)
        power *= 2;
    return power;
}

struct tl_choice_load tl_choice_class(const struct tl_choice_load *load) {
    /* What is longer takes longer, but in the same proportions. */
    enum { MOST_TEXT = 1 << 11, MOST_DOCUMENTS = 1 << 5, MOST_TOKENS = 1 << 15, MOST_RUNS = 4 };
    struct tl_choice_load class = {
        .text_tokens = rounded(load->text_tokens, TL_PLAN_ASSUMED_TEXT, MOST_TEXT),
        .documents = rounded(load->documents, TL_PLAN_ASSUMED_DOCUMENTS, MOST_DOCUMENTS),
        .document_tokens = rounded(load->document_tokens, TL_PLAN_ASSUMED_DOCUMENTS * TL_PLAN_ASSUMED_DOCUMENT,
                                   MOST_TOKENS),
        .runs = rounded(load->runs, 1, MOST_RUNS),
    };
    return class;
}

uint64_t tl_choice_class_hash(const struct tl_choice_load *load) {
    struct tl_choice_load class = tl_choice_class(load);
    return tl_hash_u64((uint64_t) class.text_tokens << 32 | class.documents,
                       tl_hash_u64((uint64_t) class.document_tokens << 32 | class.runs, 1));
}

/* ---- reports ---- */

void tl_choice_report_init(struct tl_choice_report *report) {
    *report = (struct tl_choice_report){0};
    tl_opt_report_init(&report->passes);
}

void tl_choice_report_fini(struct tl_choice_report *report) {
    for (size_t i = 0; i < report->count; i++) {
        tl_mem_free(report->candidates[i].name);
        tl_mem_free(report->candidates[i].failure);
    }
    tl_mem_free(report->candidates);
    tl_opt_report_fini(&report->passes);
    *report = (struct tl_choice_report){0};
}

static void print_candidate(const struct tl_choice_report *report, size_t position, struct tl_str *out) {
    const struct tl_choice_candidate *candidate = &report->candidates[position];
    char mark = position == report->chosen ? '*' : ' ';
    if (candidate->failure)
        tl_str_printf(out, "%c  no prediction  %s: %s\n", mark, candidate->name, candidate->failure);
    else if (candidate->same_as != position)
        tl_str_printf(out, "%c %10.1f %10.1f  %s (the same plan as %s)\n", mark, candidate->ms, candidate->busy_ms,
                      candidate->name, report->candidates[candidate->same_as].name);
    else
        tl_str_printf(out, "%c %10.1f %10.1f  %s\n", mark, candidate->ms, candidate->busy_ms, candidate->name);
}

static void print_reason(const struct tl_choice_report *report, struct tl_str *out) {
    const struct tl_choice_candidate *chosen = &report->candidates[report->chosen];
    double least = chosen->ms;
    size_t near = 0;
    if (chosen->failure) {
        tl_str_printf(out, "kept: %s, since nothing could be predicted\n", chosen->name);
        return;
    }
    for (size_t i = 0; i < report->count; i++)
        if (!report->candidates[i].failure && report->candidates[i].ms < least)
            least = report->candidates[i].ms;
    for (size_t i = 0; i < report->count; i++)
        near += !report->candidates[i].failure && report->candidates[i].same_as == i &&
                report->candidates[i].ms <= least * (1 + TL_CHOICE_TIE);
    tl_str_printf(out, "kept: %s, predicted to be done first", chosen->name);
    if (near > 1)
        tl_str_printf(
            out,
            "; of %zu within %.1f %% that which keeps engines busy for the least time, of equals that with most rules",
            near, 100 * TL_CHOICE_TIE);
    tl_str_putc(out, '\n');
}

void tl_choice_report_print(const struct tl_choice_report *report, struct tl_str *out) {
    if (report->count == 0)
        return;
    const struct tl_choice_load *load = &report->load;
    tl_str_printf(out, "in virtual time, with texts of %u tokens and %u documents of %u tokens in all",
                  load->text_tokens, load->documents, load->document_tokens);
    if (load->runs > 1)
        tl_str_printf(out, ", %u queries at the same time", load->runs);
    tl_str_puts(out, "\n          ms    busy ms\n");
    for (size_t i = 0; i < report->count; i++)
        print_candidate(report, i, out);
    print_reason(report, out);
}

json_t *tl_choice_report_to_json(const struct tl_choice_report *report) {
    json_t *candidates = json_array();
    for (size_t i = 0; i < report->count; i++) {
        const struct tl_choice_candidate *candidate = &report->candidates[i];
        json_t *object = json_pack("{s:s, s:I}", "name", candidate->name, "nodes", (json_int_t)candidate->nodes);
        if (candidate->failure) {
            json_object_set_new(object, "failure", json_string(candidate->failure));
        } else {
            json_object_set_new(object, "ms", json_real(candidate->ms));
            json_object_set_new(object, "busy_ms", json_real(candidate->busy_ms));
        }
        if (candidate->same_as != i)
            json_object_set_new(object, "same_as", json_string(report->candidates[candidate->same_as].name));
        json_array_append_new(candidates, object);
    }
    const struct tl_choice_load *load = &report->load;
    return json_pack("{s:{s:I, s:I, s:I, s:I}, s:s, s:o}", "load", "text_tokens", (json_int_t)load->text_tokens,
                     "documents", (json_int_t)load->documents, "document_tokens", (json_int_t)load->document_tokens,
                     "runs", (json_int_t)load->runs, "chosen",
                     report->count ? report->candidates[report->chosen].name : "", "candidates", candidates);
}
