/* Timers: a list ordered by due time, then by age. They fire only in `resume`, one at a time. */
#include <math.h>
#include <stdlib.h>
#include "guest.h"

struct timer {
    struct timer *next;
    uint64_t due_ns, every_ns; /* every_ns 0: once */
    uint32_t id, age;
    JSValue callback; /* takes no arguments: the prelude binds them */
};

static struct timer *first;
static uint32_t last_id, last_age;

static uint64_t delay_ns(double delay_ms)
{
    if (!(delay_ms > 0))
        return 0;
    return (uint64_t)(fmin(delay_ms, 2147483647.0) * 1e6);
}

static void insert(struct timer *timer)
{
    struct timer **at = &first;
    timer->age = ++last_age;
    while (*at && (*at)->due_ns <= timer->due_ns)
        at = &(*at)->next;
    timer->next = *at;
    *at = timer;
}

static void release(JSContext *ctx, struct timer *timer)
{
    JS_FreeValue(ctx, timer->callback);
    free(timer);
}

JSValue timer_set(JSContext *ctx, JSValueConst callback, double delay_ms, bool repeat)
{
    struct timer *timer = malloc(sizeof(*timer));
    if (!timer)
        return JS_ThrowOutOfMemory(ctx);
    uint64_t delay = delay_ns(delay_ms);
    /* An interval of nothing would fire for ever at one standing instant. */
    if (repeat && delay < 1000000)
        delay = 1000000;
    timer->due_ns = clock_now() + delay;
    timer->every_ns = repeat ? delay : 0;
    timer->id = ++last_id;
    timer->callback = JS_DupValue(ctx, callback);
    insert(timer);
    return JS_NewUint32(ctx, timer->id);
}

void timer_clear(JSContext *ctx, double id)
{
    for (struct timer **at = &first; *at; at = &(*at)->next) {
        if ((*at)->id == id) {
            struct timer *timer = *at;
            *at = timer->next;
            release(ctx, timer);
            return;
        }
    }
}

void timer_clear_all(JSContext *ctx)
{
    while (first) {
        struct timer *timer = first;
        first = timer->next;
        release(ctx, timer);
    }
}

/* Timers set after the mark wait for the next event, even when already due: no event can last for ever. */
uint32_t timer_mark(void)
{
    return last_age;
}

static struct timer *take_due(uint32_t mark)
{
    for (struct timer **at = &first; *at && (*at)->due_ns <= clock_now(); at = &(*at)->next) {
        if ((*at)->age <= mark) {
            struct timer *timer = *at;
            *at = timer->next;
            return timer;
        }
    }
    return NULL;
}

/* Calls one due timer; its result or exception goes to *result. False: none was due. */
bool timer_fire(JSContext *ctx, uint32_t mark, JSValue *result)
{
    struct timer *timer = take_due(mark);
    if (!timer)
        return false;
    JSValue callback = JS_DupValue(ctx, timer->callback);
    if (timer->every_ns) {
        /* Back in the list before the call, so that the callback can clear it. */
        timer->due_ns = clock_now() + timer->every_ns;
        insert(timer);
    } else {
        release(ctx, timer);
    }
    *result = JS_Call(ctx, callback, JS_UNDEFINED, 0, NULL);
    JS_FreeValue(ctx, callback);
    return true;
}

bool timer_next(uint64_t *delay_out)
{
    if (!first)
        return false;
    *delay_out = first->due_ns > clock_now() ? first->due_ns - clock_now() : 0;
    return true;
}
