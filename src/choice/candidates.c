/* candidates.c: the forms that are tried, and which is kept.
 *
 * In this order: `paper`, all rules wherever they apply; `off`, none; `prune` alone. Then, from `paper` downwards: each
 * pass that did something is left out, and stays out when that was better; each prompt that is cut is left whole, and
 * stays whole when that was better; lists are cut into slices of half and of double the length. So with some ten tries,
 * not thousands, whatever a rule costs by itself is found; what only two rules cost together is not. Forms that are the
 * same graph are tried once. */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "choice/choice_impl.h"

enum { MOST_PASSES = 32,
       MOST_WHOLE = 16,    /* prompts that are tried one by one */
       ENOUGH = 50000 };   /* events of all simulations: after so many no other form is tried */

/* What is done otherwise than in `paper`. */
struct form {
    bool off;
    bool without[MOST_PASSES]; /* by position in the optimizer's table */
    const char *whole[MOST_WHOLE];
    size_t whole_count;
    double slices; /* times as long as the cost model says */
};

/* A form that was tried. */
struct tried {
    struct form form;
    struct tl_choice_candidate about;
    struct tl_plan *plan;        /* NULL: failed, or as another one */
    struct tl_opt_report passes;
};

struct chooser {
    const struct tl_graph *graph;
    const struct tl_opt_options *options;
    const struct tl_choice_machine *machine;
    const struct tl_choice_load *load;
    struct tried *tried;
    size_t count, capacity;
    uint64_t events; /* so far */
};

/* ---- making a form ---- */

uint32_t tl_choice_slice(void *cost, const char *engine) {
    static const enum tl_primitive ops[] = {TL_OP_EMBED, TL_OP_SCORE, TL_OP_INGEST};
    uint32_t slice = 0;
    for (size_t i = 0; i < sizeof ops / sizeof ops[0] && slice == 0; i++)
        slice = tl_cost_slice(cost, engine, ops[i]);
    return slice;
}

struct slicing {
    struct tl_cost *cost;
    double times;
};

static uint32_t slice_of(void *context, const char *engine) {
    const struct slicing *slicing = context;
    uint32_t slice = tl_choice_slice(slicing->cost, engine);
    double scaled = slice * slicing->times;
    return slice == 0 ? 0 : scaled < 1 ? 1
                                       : (uint32_t)scaled;
}

/* The passes of the options, then "-name" of those that the form goes without. Owned, with `names`. */
static const char **passes_of(const struct chooser *chooser, const struct form *form, struct tl_str *names,
                              size_t *count) {
    size_t given = chooser->options->pass_count, passes = tl_opt_pass_count();
    const char **all = tl_mem_alloc((given + passes + 1) * sizeof *all);
    size_t places[MOST_PASSES];
    for (size_t i = 0; i < given; i++)
        all[i] = chooser->options->passes[i];
    *count = given;
    for (size_t i = 0; i < passes && i < MOST_PASSES; i++) {
        if (!form->without[i])
            continue;
        places[(*count)++ - given] = names->length;
        tl_str_printf(names, "-%s", tl_opt_pass_name(i));
        tl_str_append(names, "", 1);
    }
    for (size_t i = given; i < *count; i++)
        all[i] = names->data + places[i - given];
    return all;
}

static enum tl_status make_plan(const struct chooser *chooser, const struct form *form, struct tl_opt_report *passes,
                                struct tl_plan **plan, struct tl_error *error) {
    struct slicing slicing = {chooser->machine->cost, form->slices};
    struct tl_opt_options options = *chooser->options;
    struct tl_str names = TL_STR_INIT;
    options.level = form->off ? TL_OPTIMIZE_OFF : TL_OPTIMIZE_COST;
    const char **all = passes_of(chooser, form, &names, &options.pass_count);
    options.passes = all;
    options.whole = form->whole;
    options.whole_count = form->whole_count;
    options.batch = slice_of;
    options.context = &slicing;
    struct tl_graph *graph = tl_graph_clone(chooser->graph);
    enum tl_status status = tl_opt_run(&graph, &options, passes, error);
    if (status == TL_OK)
        status = tl_plan_freeze(graph, chooser->machine->cost, plan, error);
    else
        tl_graph_destroy(graph);
    tl_mem_free((void *)all);
    tl_str_fini(&names);
    return status;
}

static bool is_prune_alone(const struct form *form) {
    bool alone = true;
    for (size_t i = 0; i < tl_opt_pass_count() && i < MOST_PASSES; i++)
        alone = alone && form->without[i] == (strcmp(tl_opt_pass_name(i), "prune") != 0);
    return alone;
}

static char *name_of(const struct form *form) {
    struct tl_str name = TL_STR_INIT;
    const char *between = " without ";
    if (is_prune_alone(form))
        return tl_mem_strdup("prune alone");
    tl_str_puts(&name, form->off ? "off" : "paper");
    for (size_t i = 0; i < tl_opt_pass_count() && i < MOST_PASSES && !form->off; i++) {
        if (!form->without[i])
            continue;
        tl_str_printf(&name, "%s%s", between, tl_opt_pass_name(i));
        between = ", ";
    }
    for (size_t i = 0; i < form->whole_count; i++)
        tl_str_printf(&name, "; %s whole", form->whole[i]);
    if (form->slices < 1)
        tl_str_puts(&name, "; slices of half the length");
    else if (form->slices > 1)
        tl_str_puts(&name, "; slices of double length");
    return tl_str_detach(&name);
}

/* ---- trying it ---- */

static uint32_t nodes_of(const struct tl_plan *plan) {
    uint32_t nodes = 0;
    for (uint32_t b = 0; b < plan->body_count; b++)
        nodes += plan->bodies[b]->node_count;
    return nodes;
}

static size_t find_same(const struct chooser *chooser, uint64_t hash) {
    size_t i = 0;
    while (i < chooser->count && !(chooser->tried[i].plan && chooser->tried[i].plan->hash == hash))
        i++;
    return i;
}

/* Returns its position. Only what is wrong with `paper` is a failure of the whole: it is what there is without a
 * choice. */
static size_t try_form(struct chooser *chooser, const struct form *form) {
    struct tried tried = {.form = *form};
    struct tl_error error;
    struct trial trial = {0};
    size_t position = chooser->count;
    tl_opt_report_init(&tried.passes);
    tried.about.name = name_of(form);
    tried.about.same_as = position;
    enum tl_status status = make_plan(chooser, form, &tried.passes, &tried.plan, &error);
    size_t same = status == TL_OK ? find_same(chooser, tried.plan->hash) : position;
    if (status == TL_OK && same < position) {
        char *name = tried.about.name;
        tl_plan_unref(tried.plan);
        tried.plan = NULL;
        tried.about = chooser->tried[same].about;
        tried.about.name = name;
        tried.about.failure = tried.about.failure ? tl_mem_strdup(tried.about.failure) : NULL;
        tried.about.same_as = same;
    } else {
        if (status == TL_OK) {
            tried.about.nodes = nodes_of(tried.plan);
            status = tl_choice_try(tried.plan, chooser->machine, chooser->load, &trial, &error);
        }
        chooser->events += trial.events;
        tried.about.ms = trial.ms;
        tried.about.busy_ms = trial.busy_ms;
        tried.about.failure = status == TL_OK ? NULL : tl_mem_strdup(error.message);
    }
    chooser->tried = tl_mem_grow(chooser->tried, &chooser->capacity, position + 1, sizeof *chooser->tried);
    chooser->tried[chooser->count++] = tried;
    return position;
}

/* ---- the rule ---- */

/* How many rules a form goes without. */
static size_t left_out(const struct form *form) {
    size_t count = form->off ? MOST_PASSES : form->whole_count;
    for (size_t i = 0; i < MOST_PASSES; i++)
        count += form->without[i];
    return count;
}

/* The position of the best; `count` when none could be simulated. */
static size_t find_best(const struct chooser *chooser) {
    double least = 0, busy = 0;
    size_t best = chooser->count;
    for (size_t i = 0; i < chooser->count; i++) {
        const struct tl_choice_candidate *about = &chooser->tried[i].about;
        if (!about->failure && (best == chooser->count || about->ms < least)) {
            least = about->ms;
            best = i;
        }
    }
    if (best == chooser->count)
        return best;
    best = chooser->count;
    for (int round = 0; round < 2; round++) /* the least busy of them, then of those that with the most rules */
        for (size_t i = 0; i < chooser->count; i++) {
            const struct tl_choice_candidate *about = &chooser->tried[i].about;
            if (about->failure || about->same_as != i || about->ms > least * (1 + TL_CHOICE_TIE))
                continue;
            if (round == 0)
                busy = busy > 0 && busy < about->busy_ms ? busy : about->busy_ms;
            else if (about->busy_ms <= busy * (1 + TL_CHOICE_TIE) &&
                     (best == chooser->count ||
                      left_out(&chooser->tried[i].form) < left_out(&chooser->tried[best].form)))
                best = i;
        }
    return best;
}

/* Whether `a` would be kept, were there only these two; `b` was tried first. */
static bool is_better(const struct tl_choice_candidate *a, const struct tl_choice_candidate *b) {
    if (a->failure || b->failure)
        return !a->failure && b->failure;
    if (a->ms < b->ms * (1 - TL_CHOICE_TIE))
        return true;
    return a->ms <= b->ms && a->busy_ms < b->busy_ms * (1 - TL_CHOICE_TIE);
}

/* ---- which are tried ---- */

/* `share` only takes work away, and `overlap` only shows with more queries than places. */
static bool may_cost(const char *pass) {
    return strcmp(pass, "share") != 0 && strcmp(pass, "overlap") != 0;
}

static bool did_something(const struct tl_opt_report *report, const char *pass) {
    for (size_t i = 0; i < report->count; i++)
        if (report->entries[i].outcome == TL_OPT_CHANGED && strcmp(report->entries[i].pass, pass) == 0)
            return true;
    return false;
}

/* Tries `form` and makes it the present one when it is better. Large workflows are not tried in so many forms. */
static void descend(struct chooser *chooser, size_t *present, const struct form *form) {
    if (chooser->events >= ENOUGH)
        return;
    size_t position = try_form(chooser, form);
    if (is_better(&chooser->tried[position].about, &chooser->tried[*present].about))
        *present = position;
}

/* Labels of prompts that were cut, in all bodies. */
static size_t find_cut(const struct tl_body *body, const char **labels, size_t count) {
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        for (size_t r = 0; r < 2 && node->regions[r]; r++)
            count = find_cut(node->regions[r], labels, count);
        if (node->op != TL_OP_FULL_PREFILL || count == MOST_WHOLE)
            continue;
        bool known = false; /* in another body */
        for (size_t k = 0; k < count; k++)
            known = known || strcmp(labels[k], node->label) == 0;
        if (!known)
            labels[count++] = node->label;
    }
    return count;
}

static void try_all(struct chooser *chooser) {
    struct form form = {.slices = 1};
    size_t present = try_form(chooser, &form), passes = tl_opt_pass_count();
    TL_ASSERT(passes <= MOST_PASSES);
    if (!chooser->tried[0].plan || chooser->tried[0].about.failure)
        return; /* no form can be planned, or none simulated */
    try_form(chooser, &(struct form){.off = true, .slices = 1});
    for (size_t i = 0; i < passes; i++)
        form.without[i] = strcmp(tl_opt_pass_name(i), "prune") != 0;
    try_form(chooser, &form);
    for (size_t i = 0; i < passes; i++) {
        if (!may_cost(tl_opt_pass_name(i)) || !did_something(&chooser->tried[0].passes, tl_opt_pass_name(i)))
            continue;
        form = chooser->tried[present].form;
        form.without[i] = true;
        descend(chooser, &present, &form);
    }
    const char *cut[MOST_WHOLE];
    /* The labels live as long as the plan of `paper`, which is kept until the end. */
    size_t cuts = find_cut(chooser->tried[0].plan->graph->root, cut, 0);
    for (size_t i = 0; i < cuts && cuts > 1; i++) {
        form = chooser->tried[present].form;
        form.whole[form.whole_count++] = cut[i];
        descend(chooser, &present, &form);
    }
    /* Among others the length is left to the cost model: shorter slices let one query pass, and delay those behind it. */
    size_t uncut = present;
    for (size_t i = 0; i < 2 && chooser->load->runs == 1 && did_something(&chooser->tried[uncut].passes, "stages");
         i++) {
        form = chooser->tried[uncut].form;
        form.slices = i == 0 ? 0.5 : 2;
        descend(chooser, &present, &form);
    }
}

/* ---- the choice ---- */

static void release(struct chooser *chooser) {
    for (size_t i = 0; i < chooser->count; i++) {
        tl_mem_free(chooser->tried[i].about.name);
        tl_mem_free(chooser->tried[i].about.failure);
        tl_plan_unref(chooser->tried[i].plan);
        tl_opt_report_fini(&chooser->tried[i].passes);
    }
    tl_mem_free(chooser->tried);
}

/* Takes what the report wants out of `chooser`. */
static void fill_report(struct chooser *chooser, size_t chosen, struct tl_choice_report *report) {
    report->load = *chooser->load;
    report->chosen = chosen;
    for (size_t i = 0; i < chooser->count; i++) {
        struct tl_choice_candidate *about = &chooser->tried[i].about;
        report->candidates =
            tl_mem_grow(report->candidates, &report->capacity, report->count + 1, sizeof *report->candidates);
        report->candidates[report->count++] = *about;
        about->name = about->failure = NULL;
    }
    report->passes = chooser->tried[chosen].passes;
    tl_opt_report_init(&chooser->tried[chosen].passes);
}

enum tl_status tl_choice_make(const struct tl_graph *graph, const struct tl_opt_options *options,
                              const struct tl_choice_machine *machine, const struct tl_choice_load *load,
                              struct tl_plan **plan, struct tl_choice_report *report, struct tl_error *error) {
    struct tl_choice_load filled = tl_choice_class(load);
    struct chooser chooser = {.graph = graph, .options = options, .machine = machine, .load = &filled};
    *plan = NULL;
    try_all(&chooser);
    size_t chosen = find_best(&chooser);
    chosen = chosen < chooser.count ? chosen : 0;
    enum tl_status status = TL_OK;
    if (!chooser.tried[chosen].plan) /* say what is wrong by doing it again */
        status = make_plan(&chooser, &chooser.tried[0].form, NULL, plan, error);
    else
        *plan = tl_plan_ref(chooser.tried[chosen].plan);
    if (report)
        fill_report(&chooser, chosen, report);
    release(&chooser);
    return status;
}
