/* number.c: numbers within bounds, digit by digit. A digit may be written when some number that begins
 * so is within the bounds, so a bound never ends in a place from which there is no way on.
 *
 * Numbers are counted in units: of 1 for integers, of a millionth otherwise. Integers have at most 15
 * digits (every one of them is exact as a double too), others 12 before and 6 behind the point. */
#include <math.h>

#include "schema/schema_impl.h"

#define WHOLE_DIGITS 15
#define DIGITS 12
#define DECIMALS 6

static const int64_t powers[] = {
    1, 10, 100, 1000, 10000, 100000, 1000000,
    10000000, 100000000, 1000000000, 10000000000, 100000000000, 1000000000000, 10000000000000,
    100000000000000, 1000000000000000, 10000000000000000, 100000000000000000, 1000000000000000000};

static int most_digits(const struct tl_schema_node *node) {
    return node->as.number.whole ? WHOLE_DIGITS : DIGITS;
}

static int most_decimals(const struct tl_schema_node *node) {
    return node->as.number.whole ? 0 : DECIMALS;
}

/* Whether a size from `low` to `high` units, with the frame's sign, is within the bounds. */
static bool meets(const struct tl_schema_node *node, const struct tl_schema_frame *frame, int64_t low, int64_t high) {
    int64_t least = node->as.number.low, most = node->as.number.high;
    if (frame->as.number.negative) { /* and there is no -0 */
        int64_t nearest = most < 0 ? -most : 1;
        return nearest <= -least && low <= -least && high >= nearest;
    }
    return low <= most && high >= least;
}

/* Whether some number that begins with what the frame holds is within the bounds. */
static bool leads_on(const struct tl_schema_node *node, const struct tl_schema_frame *frame) {
    int64_t value = (int64_t)frame->as.number.value;
    int digits = frame->as.number.digits, decimals = frame->as.number.decimals;
    if (frame->phase == TL_SCHEMA_MINUS)
        return meets(node, frame, 0, INT64_MAX);
    if (frame->phase != TL_SCHEMA_DIGITS) {
        int64_t unit = powers[most_decimals(node) - decimals];
        return meets(node, frame, value * unit, value * unit + unit - 1);
    }
    int64_t unit = powers[most_decimals(node)];
    int more = value == 0 ? 0 : most_digits(node) - digits; /* nothing but a point follows a leading 0 */
    for (int i = 0; i <= more; i++, unit *= 10)
        if (meets(node, frame, value * unit, value * unit + unit - 1))
            return true;
    return false;
}

static bool put_digit(const struct tl_schema_node *node, struct tl_schema_frame *frame, unsigned char byte) {
    bool decimal = frame->phase == TL_SCHEMA_POINT || frame->phase == TL_SCHEMA_DECIMALS;
    if (decimal && frame->as.number.decimals == most_decimals(node))
        return false;
    if (!decimal && (frame->as.number.digits == most_digits(node) ||
                     (frame->as.number.digits == 1 && frame->as.number.value == 0)))
        return false;
    frame->as.number.value = frame->as.number.value * 10 + (uint64_t)(byte - '0');
    frame->as.number.digits += !decimal;
    frame->as.number.decimals += decimal;
    frame->phase = decimal ? TL_SCHEMA_DECIMALS : TL_SCHEMA_DIGITS;
    return true;
}

bool tl_schema_number_put(const struct tl_schema_node *node, struct tl_schema_frame *frame, unsigned char byte) {
    struct tl_schema_frame next = *frame;
    if (byte == '-' && frame->phase == TL_SCHEMA_OPEN) {
        next.phase = TL_SCHEMA_MINUS;
        next.as.number.negative = true;
    } else if (byte == '.' && frame->phase == TL_SCHEMA_DIGITS && !node->as.number.whole) {
        next.phase = TL_SCHEMA_POINT;
    } else if (byte < '0' || byte > '9' || !put_digit(node, &next, byte)) {
        return false;
    }
    if (!leads_on(node, &next))
        return false;
    *frame = next;
    return true;
}

bool tl_schema_number_may_end(const struct tl_schema_node *node, const struct tl_schema_frame *frame) {
    if (frame->phase != TL_SCHEMA_DIGITS && frame->phase != TL_SCHEMA_DECIMALS)
        return false;
    int64_t size = (int64_t)frame->as.number.value * powers[most_decimals(node) - frame->as.number.decimals];
    return meets(node, frame, size, size);
}

bool tl_schema_number_may_go_on(const struct tl_schema_node *node, const struct tl_schema_frame *frame) {
    static const char bytes[] = "0123456789.";
    for (size_t i = 0; bytes[i]; i++) {
        struct tl_schema_frame next = *frame;
        if (tl_schema_number_put(node, &next, (unsigned char)bytes[i]))
            return true;
    }
    return false;
}

/* The bound in units, rounded into the interval: `up` for a lower one; exact where it is very nearly a unit. */
static double in_units(const json_t *bound, double units, bool up) {
    double value = json_number_value(bound) * units, nearest = round(value);
    if (fabs(value - nearest) <= fabs(value) * 1e-14)
        return nearest;
    return up ? ceil(value) : floor(value);
}

bool tl_schema_number_bound(struct tl_schema_node *node, const json_t *minimum, const json_t *above,
                            const json_t *maximum, const json_t *below) {
    double units = (double)powers[most_decimals(node)];
    double high = (double)(powers[most_digits(node) + most_decimals(node)] - 1), low = -high;
    if (minimum)
        low = fmax(low, in_units(minimum, units, true));
    if (above)
        low = fmax(low, in_units(above, units, false) + 1);
    if (maximum)
        high = fmin(high, in_units(maximum, units, false));
    if (below)
        high = fmin(high, in_units(below, units, true) - 1);
    if (!(low <= high))
        return false;
    node->as.number.low = (int64_t)low;
    node->as.number.high = (int64_t)high;
    return true;
}
