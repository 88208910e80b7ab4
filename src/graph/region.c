/* region.c: the table of regions in graph.h: which parameters and results their bodies have. */
#include <string.h>

#include "base/error.h"
#include "graph/graph_impl.h"

static struct tl_type input_type(const struct tl_node *region, const char *name) {
    const struct tl_input *input = tl_graph_find_input(region, name);
    TL_ASSERT(input != NULL);
    return tl_graph_type(input->from);
}

/* What an instance of a map or fold takes: an element of the list, or a slice of it. */
static struct tl_type item_type(const struct tl_node *region) {
    struct tl_type items = input_type(region, "items");
    return tl_attributes_find(&region->attributes, "slice") == NULL ? tl_type_element(items) : items;
}

size_t tl_graph_region_parameters(const struct tl_node *region, struct tl_region_port ports[TL_REGION_PORTS]) {
    const struct tl_region_port index = {"index", TL_TYPE_OF(NUMBER, 0)};
    size_t count = 0;
    switch (region->op) {
    case TL_OP_MAP:
        ports[count++] = (struct tl_region_port){"item", item_type(region)};
        ports[count++] = index;
        break;
    case TL_OP_FOLD:
        ports[count++] = (struct tl_region_port){"item", item_type(region)};
        ports[count++] = index;
        ports[count++] = (struct tl_region_port){"carried", input_type(region, "initial")};
        break;
    case TL_OP_REDUCE:
        ports[count++] = (struct tl_region_port){"group", input_type(region, "items")};
        ports[count++] = (struct tl_region_port){"level", TL_TYPE_OF(NUMBER, 0)};
        break;
    case TL_OP_LOOP:
        ports[count++] = (struct tl_region_port){"carried", input_type(region, "initial")};
        ports[count++] = index;
        break;
    case TL_OP_COND:
        break;
    default:
        TL_BUG("%s is no region", tl_graph_info(region)->name);
    }
    return count;
}

size_t tl_graph_region_results(const struct tl_node *region, struct tl_region_port ports[TL_REGION_PORTS]) {
    switch (region->op) {
    case TL_OP_FOLD:
        ports[0] = (struct tl_region_port){"carried", input_type(region, "initial")};
        return 1;
    case TL_OP_REDUCE:
        ports[0] = (struct tl_region_port){"result", input_type(region, "initial")};
        return 1;
    case TL_OP_LOOP:
        ports[0] = (struct tl_region_port){"carried", input_type(region, "initial")};
        ports[1] = (struct tl_region_port){"again", TL_TYPE_OF(BOOL, 0)};
        return 2;
    default:
        return SIZE_MAX;
    }
}

struct check {
    const struct tl_node *region;
    unsigned line;
    struct tl_diagnostics *findings;
    bool good;
};

#define COMPLAIN(check, format, ...) \
    ((check)->good = false, \
     tl_diagnostics_add((check)->findings, TL_SEVERITY_ERROR, (check)->line, 0, "%s \"%s\": " format, \
                        tl_graph_info((check)->region)->name, (check)->region->label, __VA_ARGS__))

static bool is_connected(struct tl_ref ref) {
    return ref.node != NULL && ref.port < ref.node->output_count;
}

static void check_result(struct check *check, const struct tl_result *result, const char *name, struct tl_type type) {
    char found[24], expected[24];
    if (strcmp(result->name, name) != 0)
        COMPLAIN(check, "its body has a result \"%s\" where \"%s\" is expected", result->name, name);
    else if (!tl_type_equal(tl_graph_type(result->from), type))
        COMPLAIN(check, "result \"%s\" of its body is %s, expected %s", name,
                 tl_type_print(tl_graph_type(result->from), found), tl_type_print(type, expected));
}

/* Both branches of a cond give the same results. */
static void check_branches(struct check *check) {
    const struct tl_body *then = check->region->regions[0], *otherwise = check->region->regions[1];
    if (then->result_count != otherwise->result_count) {
        COMPLAIN(check, "one branch has %zu results, the other %zu", then->result_count, otherwise->result_count);
        return;
    }
    for (size_t i = 0; i < then->result_count; i++)
        check_result(check, &otherwise->results[i], then->results[i].name, tl_graph_type(then->results[i].from));
}

bool tl_graph_check_results(const struct tl_node *region, unsigned line, struct tl_diagnostics *findings) {
    struct check check = {.region = region, .line = line, .findings = findings, .good = true};
    for (size_t r = 0; r < 2 && region->regions[r] != NULL; r++) {
        const struct tl_body *body = region->regions[r];
        for (size_t i = 0; i < body->result_count; i++)
            if (!is_connected(body->results[i].from))
                COMPLAIN(&check, "result \"%s\" of its body is connected to nothing", body->results[i].name);
    }
    if (!check.good)
        return false;

    const struct tl_body *body = region->regions[0];
    struct tl_region_port ports[TL_REGION_PORTS];
    size_t count = tl_graph_region_results(region, ports);
    if (region->op == TL_OP_COND)
        check_branches(&check);
    if (count == SIZE_MAX) {
        for (size_t i = 0; region->op == TL_OP_MAP && i < body->result_count; i++)
            if (tl_graph_type(body->results[i].from).depth == TL_TYPE_MAX_DEPTH)
                COMPLAIN(&check, "a list of its result \"%s\" would have more than %d list levels",
                         body->results[i].name, TL_TYPE_MAX_DEPTH);
    } else if (body->result_count != count) {
        COMPLAIN(&check, "its body has %zu results, expected %zu (\"%s\"%s)", body->result_count, count, ports[0].name,
                 count == 2 ? " and \"again\"" : "");
    } else {
        for (size_t i = 0; i < count; i++)
            check_result(&check, &body->results[i], ports[i].name, ports[i].type);
    }
    return check.good;
}
