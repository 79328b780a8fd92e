/* The guest's exports: alloc, run and resume for the host; boot, prelude and seal for the build, gone after it. */
#include <stdlib.h>
#include <string.h>
#include "guest.h"

enum { FINISHED = -2, WAITS_FOR_CALLS = -1 };
enum { STACK_BYTES = 3 * 512 * 1024, FIRST_COLLECTION_BYTES = 8 * 1024 * 1024 };

struct limits limits;
static JSRuntime *runtime;
static JSContext *ctx;
static JSValue internals; /* what the prelude's files share; gone after boot */
/* The prelude's entries: value of a program, delivery of a result, words for an error, notes on lost errors. */
static JSValue js_conclude, js_deliver, js_describe, js_uncaught, js_rejection, js_report_rejections, js_forget;
static JSValue inputs;
static JSValue outcome; /* promise of the result's JSON text */
static bool finished;

static const char out_of_memory[] =
    "{\"name\":\"InternalError\",\"message\":\"out of memory\",\"stack\":\"\",\"line\":null,\"column\":null,"
    "\"source_line\":null,\"limit\":\"memory\",\"call\":null}";
static const char undescribed[] =
    "{\"name\":\"Error\",\"message\":\"the program failed with an error that cannot be described\",\"stack\":\"\","
    "\"line\":null,\"column\":null,\"source_line\":null,\"limit\":null,\"call\":null}";

#define NEVER_SETTLES "the program waits for something that will never happen: a promise is awaited, but no host call and no timer " \
                      "is pending"
static const char never_settles[] = NEVER_SETTLES;
static const char never_settles_in_session[] =
    NEVER_SETTLES "; what an earlier program of the session had not awaited was dropped when it ended";

static void finish(bool ok, const char *json, size_t len)
{
    finished = true;
    host_done(ok, json, len);
}

/* A failed allocation outside JavaScript has nobody to catch it. */
void *must(void *pointer)
{
    if (pointer)
        return pointer;
    if (!finished)
        finish(false, out_of_memory, sizeof(out_of_memory) - 1);
    __builtin_trap();
}

static void drop_exception(void)
{
    JS_FreeValue(ctx, JS_GetException(ctx));
}

/* Calls into the prelude; an exception there is dropped, since nobody could be told of it. */
static JSValue ask(JSValueConst function, int argc, JSValueConst *argv)
{
    JSValue result = JS_Call(ctx, function, JS_UNDEFINED, argc, argv);
    if (!JS_IsException(result))
        return result;
    drop_exception();
    return JS_UNDEFINED;
}

static void tell(JSValueConst function, int argc, JSValueConst *argv)
{
    JS_FreeValue(ctx, ask(function, argc, argv));
}

static void fail(JSValueConst error)
{
    memory_free_reserve();
    JSValueConst argv[] = { error, JS_NewBool(ctx, memory_was_short()) };
    JSValue json = ask(js_describe, COUNT_OF(argv), argv);
    struct text text = JS_IsString(json) ? text_of_json(ctx, json) : (struct text){ NULL, 0, false };
    if (text.data)
        finish(false, text.data, text.len);
    else if (memory_was_short())
        finish(false, out_of_memory, sizeof(out_of_memory) - 1);
    else
        finish(false, undescribed, sizeof(undescribed) - 1);
}

static void fail_with_exception(void)
{
    JSValue error = JS_GetException(ctx);
    fail(error);
    JS_FreeValue(ctx, error);
}

static void fail_with(const char *name, const char *message)
{
    JSValue error = JS_NewPlainError(ctx, "%s", message);
    JS_DefinePropertyValueStr(ctx, error, "name", JS_NewString(ctx, name), JS_PROP_C_W_E);
    JS_DefinePropertyValueStr(ctx, error, "stack", JS_NewString(ctx, ""), JS_PROP_C_W_E);
    fail(error);
    JS_FreeValue(ctx, error);
}

static void succeed(JSValueConst json)
{
    struct text text = text_of_json(ctx, json);
    if (!text.data) {
        fail_with_exception();
        return;
    }
    if (text.len > limits.result_bytes) {
        JSValue error = JS_NewRangeError(ctx, "the result is %u bytes of JSON, the limit is %u: return less, or summarise",
                                         (unsigned)text.len, (unsigned)limits.result_bytes);
        JS_DefinePropertyValueStr(ctx, error, "name", JS_NewString(ctx, "ResultTooLarge"), JS_PROP_C_W_E);
        JS_DefinePropertyValueStr(ctx, error, "stack", JS_NewString(ctx, ""), JS_PROP_C_W_E);
        fail(error);
        JS_FreeValue(ctx, error);
    } else {
        finish(true, text.data, text.len);
    }
    text_free(ctx, text);
}

static void drain(void)
{
    JSContext *unused;
    while (JS_ExecutePendingJob(runtime, &unused) != 0)
        ;
}

static void conclude(JSPromiseStateEnum state)
{
    JSValue value = JS_PromiseResult(ctx, outcome);
    tell(js_report_rejections, 1, (JSValueConst *)&value);
    if (state == JS_PROMISE_FULFILLED)
        succeed(value);
    else
        fail(value);
    JS_FreeValue(ctx, value);
}

/* After an event: finish, or say what the program waits for. */
static int64_t settle(void)
{
    drain();
    JSPromiseStateEnum state = JS_PromiseState(ctx, outcome);
    uint64_t delay;
    bool timers = timer_next(&delay);
    if (state != JS_PROMISE_PENDING)
        conclude(state);
    else if (!timers && pending_calls == 0)
        fail_with("NeverSettles", program.number > 1 ? never_settles_in_session : never_settles);
    if (finished)
        return FINISHED;
    return timers ? (int64_t)delay : WAITS_FOR_CALLS;
}

static void track_rejection(JSContext *unused, JSValueConst promise, JSValueConst reason, bool handled, void *opaque)
{
    (void)unused, (void)opaque;
    JSValueConst argv[] = { promise, reason, JS_NewBool(ctx, handled) };
    if (JS_IsObject(outcome) && JS_VALUE_GET_PTR(promise) == JS_VALUE_GET_PTR(outcome))
        return;
    tell(js_rejection, COUNT_OF(argv), argv);
}

/* A reader over the request: every length is checked against what is left. */
struct reader {
    const uint8_t *at, *end;
};

static const uint8_t *read_bytes(struct reader *reader, size_t len)
{
    if ((size_t)(reader->end - reader->at) < len)
        __builtin_trap();
    const uint8_t *bytes = reader->at;
    reader->at += len;
    return bytes;
}

static uint32_t read_u32(struct reader *reader)
{
    uint32_t value;
    memcpy(&value, read_bytes(reader, sizeof(value)), sizeof(value));
    return value;
}

/* QuickJS's parsers want a NUL behind the text. */
static char *read_text(struct reader *reader, size_t *len)
{
    *len = read_u32(reader);
    const uint8_t *bytes = read_bytes(reader, *len);
    char *text = must(malloc(*len + 1));
    memcpy(text, bytes, *len);
    text[*len] = 0;
    return text;
}

static void set_seed(const uint8_t seed[32])
{
    uint64_t state;
    random_seed(seed);
    random_bytes((uint8_t *)&state, sizeof(state));
    engine_seed_math_random(ctx, state);
}

static bool define_inputs(struct reader *reader)
{
    size_t len;
    char *json = read_text(reader, &len);
    inputs = JS_ParseJSON(ctx, json, len, "inputs");
    free(json);
    if (JS_IsException(inputs))
        return false;
    JSValue global = JS_GetGlobalObject(ctx);
    JS_DefinePropertyValueStr(ctx, global, "inputs", JS_DupValue(ctx, inputs), JS_PROP_C_W_E);
    JS_FreeValue(ctx, global);
    return true;
}

/* The promise of the result's JSON text; an exception before the first instruction counts as its rejection. */
static void start_program(void)
{
    JSValue promise = program_start(ctx);
    if (JS_IsException(promise)) {
        fail_with_exception();
        return;
    }
    JSValueConst argv[] = { promise, inputs };
    outcome = JS_Call(ctx, js_conclude, JS_UNDEFINED, COUNT_OF(argv), argv);
    JS_FreeValue(ctx, promise);
    if (JS_IsException(outcome))
        fail_with_exception();
}

GUEST_EXPORT("alloc") void *guest_alloc(uint32_t len)
{
    return must(malloc(len ? len : 1));
}

/* What the session's last program left to do is never done; what it declared stays. */
static void drop_leftovers(void)
{
    tell(js_forget, 0, NULL);
    pending_calls = 0;
    timer_clear_all(ctx);
    engine_end_program(ctx);
    memory_begin();
}

/* A host may run a neutral program ahead of the real one to warm the instance; nothing of it may be seen by the next. So
   one that left a call or a timer behind cannot be followed, but by the next program of its session. */
static void forget_earlier_run(uint32_t number)
{
    uint64_t delay;
    if (!finished)
        return;
    if (number > 1)
        drop_leftovers();
    if (pending_calls || timer_next(&delay))
        __builtin_trap();
    finished = false;
    JS_FreeValue(ctx, outcome);
    JS_FreeValue(ctx, inputs);
    outcome = inputs = JS_UNDEFINED;
    program_forget(ctx);
}

/* A session has one clock. */
static void set_clock(uint32_t number, uint64_t now_ns)
{
    if (number > 1)
        clock_move(now_ns);
    else
        clock_start(now_ns);
}

GUEST_EXPORT("run") int64_t guest_run(uint8_t *request, uint32_t len, uint64_t now_ns)
{
    struct reader reader = { request, request + len };
    const uint8_t *seed = read_bytes(&reader, 32);
    limits.call_bytes = read_u32(&reader);
    limits.log_line_bytes = read_u32(&reader);
    limits.result_bytes = read_u32(&reader);
    uint32_t number = read_u32(&reader);
    JS_UpdateStackTop(runtime);
    forget_earlier_run(number);
    set_clock(number, now_ns);
    set_seed(seed);
    program.number = number;
    program.source = read_text(&reader, &program.len);
    bool inputs_read = define_inputs(&reader);
    free(request);
    if (inputs_read)
        start_program();
    else
        fail_with("InvalidInputs", "the inputs are not JSON");
    return finished ? FINISHED : settle();
}

static void deliver(struct reader *reader)
{
    uint32_t id = read_u32(reader);
    bool ok = *read_bytes(reader, 1);
    JSValueConst argv[] = { JS_NewUint32(ctx, id), JS_NewBool(ctx, ok),
                            JS_NewStringLen(ctx, (const char *)reader->at, (size_t)(reader->end - reader->at)) };
    JSValue known = JS_Call(ctx, js_deliver, JS_UNDEFINED, COUNT_OF(argv), argv);
    if (JS_IsException(known))
        fail_with_exception();
    else if (JS_ToBool(ctx, known) > 0)
        pending_calls--;
    JS_FreeValue(ctx, argv[2]);
}

static void fire_timers(void)
{
    JSValue result;
    uint32_t mark = timer_mark();
    while (timer_fire(ctx, mark, &result)) {
        if (JS_IsException(result)) {
            JSValue error = JS_GetException(ctx);
            tell(js_uncaught, 1, (JSValueConst *)&error);
            JS_FreeValue(ctx, error);
        }
        JS_FreeValue(ctx, result);
        drain();
    }
}

/* Timers that became due before the event fire before it. */
GUEST_EXPORT("resume") int64_t guest_resume(uint8_t *event, uint32_t len, uint64_t now_ns)
{
    if (!finished) {
        clock_move(now_ns);
        JS_UpdateStackTop(runtime);
        fire_timers();
        struct reader reader = { event, event + len };
        if (len > 0)
            deliver(&reader);
    }
    free(event);
    return finished ? FINISHED : settle();
}

static JSValue entry(const char *name)
{
    JSValue function = JS_GetPropertyStr(ctx, internals, name);
    if (!JS_IsFunction(ctx, function))
        __builtin_trap();
    return function;
}

static void report_boot_error(void)
{
    JSValue error = JS_GetException(ctx), stack = JS_GetPropertyStr(ctx, error, "stack");
    text_log(LOG_ERROR, text_of(ctx, error));
    text_log(LOG_ERROR, text_of(ctx, stack));
    __builtin_trap();
}

GUEST_EXPORT("boot") void guest_boot(void)
{
    limits = (struct limits){ UINT32_MAX, UINT32_MAX, UINT32_MAX };
    runtime = must(JS_NewRuntime2(&memory_functions, NULL));
    JS_SetMaxStackSize(runtime, STACK_BYTES);
    ctx = must(JS_NewContext(runtime));
    inputs = outcome = JS_UNDEFINED;
    internals = JS_NewObjectProto(ctx, JS_NULL);
    JS_SetPropertyStr(ctx, internals, "native", natives_object(ctx));
    JS_SetModuleLoaderFunc(runtime, program_refuse_import, NULL, NULL);
    engine_close_stack_hooks(ctx);
}

/* One file of the prelude: a function expression that is called with the object the files share. */
GUEST_EXPORT("prelude") void guest_prelude(const char *name, const char *text, uint32_t len)
{
    JSValue function = engine_eval_without_source(ctx, text, len, name);
    if (JS_IsException(function))
        report_boot_error();
    JSValue result = JS_Call(ctx, function, JS_UNDEFINED, 1, (JSValueConst *)&internals);
    if (JS_IsException(result))
        report_boot_error();
    JS_FreeValue(ctx, function);
}

GUEST_EXPORT("seal") void guest_seal(void)
{
    js_conclude = entry("conclude");
    js_deliver = entry("deliver");
    js_describe = entry("describe");
    js_uncaught = entry("uncaught");
    js_rejection = entry("rejection");
    js_report_rejections = entry("reportRejections");
    js_forget = entry("forget");
    JS_FreeValue(ctx, internals);
    internals = JS_UNDEFINED;
    drain();
    JS_RunGC(runtime);
    JS_SetGCThreshold(runtime, FIRST_COLLECTION_BYTES);
    JS_SetHostPromiseRejectionTracker(runtime, track_rejection, NULL);
    memory_keep_reserve();
    memory_make_room();
    engine_hide_prelude();
}
