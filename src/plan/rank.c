/* rank.c: upward ranks: the predicted ms from the start of a node to the end of the query, and the critical path.
 *
 * Nodes are looked at backwards. A node's rank is its cost more than the largest rank among those that take its values
 * or wait for it, in its own body or inside regions. What stands in a region's body goes on, at the body's end, with
 * what follows the region:
 *   map, cond            at once: one instance, one branch
 *   fold, reduce, loop   after the rounds that follow the first: each as long as the longest way, inside the body, from
 *                        what a round is given by the former one to its result; a node's rank is that of its first round
 * So the way through a body from the parameter to the result has to be known before what is around the body is ranked:
 * bodies are looked at innermost first, as if nothing followed them (values only grow, so the last look, from the root,
 * stands).
 *
 * Each node notes who follows it on the longest way: from that the critical path is read off. */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "plan/plan_impl.h"

enum how {
    ENDS,    /* nothing follows: the end of the query */
    STARTS,  /* the node itself: it takes a value, or waits */
    RETURNS, /* what follows the region `node`, whose body ends here */
    REPEATS, /* as RETURNS, after the rounds of the region that are left */
};

struct follower {
    const struct tl_node *node;
    enum how how;
};

struct place {
    double after; /* rank of what follows; below 0: not seen yet */
    struct follower next;
    const struct tl_node *inside; /* of a region: the node of its body with the largest rank; NULL: it has none */
    struct tl_critical_path round; /* of a region with rounds: the way of one that is not the first */
    double round_ms;
};

struct ranker {
    struct tl_prediction *predictions;
    struct place *places;            /* by node number */
    const struct tl_node *measuring; /* the region whose round is looked at; NULL: ranks are */
    double carried;                  /* rank of what a round is given by the former one; below 0: not used */
    struct follower carried_next;
};

static struct place *place_of(const struct ranker *ranker, const struct tl_node *node) {
    return &ranker->places[node->number];
}

/* The parameter that a round is given by the former one; NULL for regions without such. */
static const char *carried_name(const struct tl_node *region) {
    switch (region->op) {
    case TL_OP_FOLD:
    case TL_OP_LOOP: return "carried";
    case TL_OP_REDUCE: return "group";
    default: return NULL;
    }
}

static bool is_carried(const struct ranker *ranker, struct tl_ref ref) {
    return ranker->measuring != NULL && ref.node == ranker->measuring->regions[0]->parameters &&
           strcmp(ref.node->outputs[ref.port].name, carried_name(ranker->measuring)) == 0;
}

static void follows(struct ranker *ranker, const struct tl_node *node, double rank, struct follower follower) {
    struct place *place = place_of(ranker, node);
    if (rank <= place->after)
        return;
    place->after = rank;
    place->next = follower;
}

static void follows_value(struct ranker *ranker, struct tl_ref ref, double rank, struct follower follower) {
    if (is_carried(ranker, ref) && rank > ranker->carried) {
        ranker->carried = rank;
        ranker->carried_next = follower;
    }
    follows(ranker, ref.node, rank, follower);
}

static void rank_body(struct ranker *ranker, const struct tl_body *body, double end);

/* The rank of the region: that of the node with the largest one inside, or of what follows. */
static double rank_regions(struct ranker *ranker, const struct tl_node *region) {
    struct place *place = place_of(ranker, region);
    double largest = place->after;
    place->inside = NULL;
    for (size_t r = 0; r < 2 && region->regions[r] != NULL; r++) {
        const struct tl_body *body = region->regions[r];
        rank_body(ranker, body, place->after);
        for (size_t i = 0; i < body->node_count; i++)
            if (ranker->predictions[body->nodes[i]->number].rank > largest) {
                largest = ranker->predictions[body->nodes[i]->number].rank;
                place->inside = body->nodes[i];
            }
    }
    return largest;
}

static void rank_node(struct ranker *ranker, const struct tl_node *node) {
    double after = node->regions[0] == NULL ? place_of(ranker, node)->after : rank_regions(ranker, node);
    double rank = after + ranker->predictions[node->number].cost;
    struct follower self = {node, STARTS};
    ranker->predictions[node->number].rank = rank;
    for (size_t k = 0; k < node->input_count; k++)
        follows_value(ranker, node->inputs[k].from, rank, self);
    for (size_t k = 0; k < node->wait_count; k++)
        follows(ranker, node->waits[k].node, rank, self);
}

/* `end` is the rank of what follows the region that the body belongs to. */
static void rank_body(struct ranker *ranker, const struct tl_body *body, double end) {
    const struct tl_node *region = body->owner;
    bool measured = region != NULL && ranker->measuring == region;
    double rest = 0; /* of the rounds after the first */
    if (region != NULL && !measured)
        rest = place_of(ranker, region)->round_ms * (ranker->predictions[region->number].rounds - 1);
    struct follower result = {region, region == NULL ? ENDS : REPEATS},
                    other = {region, region == NULL ? ENDS : RETURNS};
    for (size_t i = 0; i < body->result_count; i++)
        follows_value(ranker, body->results[i].from, end + rest, result);
    for (size_t i = body->node_count; i-- > 0;) {
        const struct tl_node *node = body->nodes[i];
        if (!measured) /* also what nobody uses must be complete before the body is */
            follows(ranker, node, end, other);
        else if (place_of(ranker, node)->after < 0)
            continue; /* not on the way to the result */
        rank_node(ranker, node);
    }
}

/* ---- the way ---- */

static void link(struct tl_critical_path *path, const struct tl_node *from, const struct tl_node *to) {
    for (size_t i = 0; i < path->link_count; i++)
        if (path->links[i].from == from && path->links[i].to == to)
            return;
    path->links = tl_mem_grow(path->links, &path->link_capacity, path->link_count + 1, sizeof *path->links);
    path->links[path->link_count++] = (struct tl_critical_link){from, to};
}

static void add(struct tl_critical_path *path, const struct tl_node *node, uint32_t times) {
    size_t i = 0;
    while (i < path->count && path->nodes[i].node != node)
        i++;
    if (i == path->count) {
        path->nodes = tl_mem_grow(path->nodes, &path->capacity, path->count + 1, sizeof *path->nodes);
        path->nodes[path->count++] = (struct tl_critical_node){node, 0};
    }
    uint32_t *sum = &path->nodes[i].times;
    *sum = times > UINT32_MAX - *sum ? UINT32_MAX : *sum + times;
}

static uint32_t product(uint32_t a, uint32_t b) {
    uint64_t times = (uint64_t)a * b;
    return times > UINT32_MAX ? UINT32_MAX : (uint32_t)times;
}

static void add_rounds(struct tl_critical_path *path, const struct tl_critical_path *round, uint32_t times) {
    if (round->count == 0 || times == 0)
        return;
    link(path, path->last, round->nodes[0].node);
    for (size_t i = 0; i < round->count; i++)
        add(path, round->nodes[i].node, product(round->nodes[i].times, times));
    for (size_t i = 0; i < round->link_count; i++)
        if (round->links[i].from != NULL)
            link(path, round->links[i].from, round->links[i].to);
    if (times > 1)
        link(path, round->last, round->nodes[0].node);
    path->last = round->last;
}

/* Appends who follows, to the end of the query or of the body of `until`. */
static void walk(const struct ranker *ranker, struct follower at, const struct tl_node *until,
                 struct tl_critical_path *path) {
    while (at.how != ENDS && !(at.how >= RETURNS && at.node == until)) {
        const struct place *place = place_of(ranker, at.node);
        if (at.how == STARTS) {
            link(path, path->last, at.node);
            add(path, at.node, 1);
            path->last = at.node;
        } else if (at.how == REPEATS) {
            add_rounds(path, &place->round, ranker->predictions[at.node->number].rounds - 1);
        }
        at = at.how == STARTS && place->inside != NULL ? (struct follower){place->inside, STARTS} : place->next;
    }
}

/* How long a round takes that is not the first, for each region, innermost first. */
static void measure_rounds(struct ranker *ranker, const struct tl_body *body) {
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
            measure_rounds(ranker, node->regions[r]);
        if (node->regions[0] == NULL || carried_name(node) == NULL)
            continue;
        ranker->measuring = node;
        ranker->carried = -1;
        rank_body(ranker, node->regions[0], 0);
        ranker->measuring = NULL;
        if (ranker->carried <= 0)
            continue;
        struct place *place = place_of(ranker, node);
        place->round_ms = ranker->carried;
        walk(ranker, ranker->carried_next, node, &place->round);
    }
}

void tl_critical_path_fini(struct tl_critical_path *path) {
    tl_mem_free(path->nodes);
    tl_mem_free(path->links);
}

void tl_plan_rank(const struct tl_graph *graph, struct tl_prediction *predictions, struct tl_critical_path *path) {
    struct ranker ranker = {.predictions = predictions};
    ranker.places = tl_mem_zalloc(graph->next_number * sizeof *ranker.places);
    for (uint32_t i = 0; i < graph->next_number; i++)
        ranker.places[i].after = -1;
    measure_rounds(&ranker, graph->root);
    rank_body(&ranker, graph->root, 0);
    const struct tl_node *first = NULL;
    for (size_t i = 0; i < graph->root->node_count; i++) {
        const struct tl_node *node = graph->root->nodes[i];
        if (first == NULL || predictions[node->number].rank > predictions[first->number].rank)
            first = node;
    }
    if (first != NULL) {
        walk(&ranker, (struct follower){first, STARTS}, NULL, path);
        link(path, path->last, NULL);
    }
    for (uint32_t i = 0; i < graph->next_number; i++)
        tl_critical_path_fini(&ranker.places[i].round);
    tl_mem_free(ranker.places);
}
