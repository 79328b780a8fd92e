/* The C functions the prelude is built on. They reach the prelude as one object that no program ever sees. */
#include <stdlib.h>
#include <string.h>
#include "guest.h"

uint32_t pending_calls;

static void submit(uint32_t id, uint32_t kind, struct text name, struct text payload)
{
    pending_calls++;
    host_submit(id, kind, name.data, name.len, payload.data, payload.len);
}

/* submit(id, kind, name, payload JSON) -> 0, or the payload's size in bytes when it is above the limit. */
static JSValue js_submit(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc;
    uint32_t id, kind, over = 0;
    if (JS_ToUint32(ctx, &id, argv[0]) || JS_ToUint32(ctx, &kind, argv[1]))
        return JS_EXCEPTION;
    struct text name = text_of(ctx, argv[2]), payload = text_of_json(ctx, argv[3]);
    bool failed = !name.data || !payload.data;
    if (!failed && name.len + payload.len > limits.call_bytes)
        over = (uint32_t)(name.len + payload.len);
    else if (!failed)
        submit(id, kind, name, payload);
    text_free(ctx, name);
    text_free(ctx, payload);
    return failed ? JS_EXCEPTION : JS_NewUint32(ctx, over);
}

static JSValue js_log(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc;
    uint32_t level;
    if (JS_ToUint32(ctx, &level, argv[0]))
        return JS_EXCEPTION;
    struct text text = text_of(ctx, argv[1]);
    if (!text.data)
        return JS_EXCEPTION;
    text_log(level, text);
    text_free(ctx, text);
    return JS_UNDEFINED;
}

/* elapsed() -> milliseconds since the start; started() -> unix milliseconds of the start. */
static JSValue js_elapsed(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc, (void)argv;
    return JS_NewFloat64(ctx, (double)clock_elapsed() / 1e6);
}

static JSValue js_started(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc, (void)argv;
    return JS_NewFloat64(ctx, (double)(clock_now() - clock_elapsed()) / 1e6);
}

/* setTimer(callback, milliseconds, repeat) -> id */
static JSValue js_set_timer(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc;
    double delay;
    if (JS_ToFloat64(ctx, &delay, argv[1]))
        return JS_EXCEPTION;
    return timer_set(ctx, argv[0], delay, JS_ToBool(ctx, argv[2]) > 0);
}

static JSValue js_clear_timer(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc;
    double id;
    if (JS_ToFloat64(ctx, &id, argv[0]))
        return JS_EXCEPTION;
    timer_clear(ctx, id);
    return JS_UNDEFINED;
}

static JSValue js_exports(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc, (void)argv;
    return program_exports(ctx);
}

/* source() -> the program's text */
static JSValue js_source(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc, (void)argv;
    return JS_NewStringLen(ctx, program.source, program.len);
}

static JSValue js_mode(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc, (void)argv;
    return JS_NewInt32(ctx, program.mode);
}

/* number() -> which of its session's programs it is, from 1; 0 when it is alone */
static JSValue js_number(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc, (void)argv;
    return JS_NewUint32(ctx, program.number);
}

/* file() -> the name by which stacks call the program */
static JSValue js_file(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc, (void)argv;
    return JS_NewString(ctx, program.file);
}

/* position(line, column in bytes as QuickJS counts) -> { column, text } in the caller's source */
static JSValue js_position(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc;
    uint32_t line, column;
    if (JS_ToUint32(ctx, &line, argv[0]) || JS_ToUint32(ctx, &column, argv[1]))
        return JS_EXCEPTION;
    return program_position(ctx, line, column);
}

static JSValue js_limit(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc;
    int32_t which;
    if (JS_ToInt32(ctx, &which, argv[0]))
        return JS_EXCEPTION;
    const uint32_t values[] = { limits.call_bytes, limits.log_line_bytes, limits.result_bytes };
    return JS_NewUint32(ctx, values[(uint32_t)which % 3]);
}

static const struct native own_natives[] = {
    { "submit", js_submit, 4 },
    { "log", js_log, 2 },
    { "elapsed", js_elapsed, 0 },
    { "started", js_started, 0 },
    { "setTimer", js_set_timer, 3 },
    { "clearTimer", js_clear_timer, 1 },
    { "exports", js_exports, 0 },
    { "source", js_source, 0 },
    { "mode", js_mode, 0 },
    { "number", js_number, 0 },
    { "file", js_file, 0 },
    { "position", js_position, 2 },
    { "limit", js_limit, 1 },
    { NULL, NULL, 0 },
};

static void add(JSContext *ctx, JSValue object, const struct native *natives)
{
    for (; natives->name; natives++)
        JS_SetPropertyStr(ctx, object, natives->name,
                          JS_NewCFunction(ctx, natives->function, natives->name, natives->length));
}

JSValue natives_object(JSContext *ctx)
{
    JSValue object = JS_NewObjectProto(ctx, JS_NULL);
    add(ctx, object, own_natives);
    add(ctx, object, encoding_natives);
    add(ctx, object, url_natives);
    return object;
}
