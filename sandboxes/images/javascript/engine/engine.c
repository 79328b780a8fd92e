/* QuickJS-ng compiled together with the few functions that need its source in view, and one hook into it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int engine_vsnprintf(char *out, size_t size, const char *format, va_list arguments);

/* QuickJS watches the stack in linear memory; WebAssembly's own, which cannot be read, is what runs out first. Every function
   that checks its depth gets, being inlined into, FRAME_BYTES more of the first, so that the two grow alike. */
#ifndef FRAME_BYTES
#define FRAME_BYTES 256
#endif
static inline __attribute__((always_inline)) void *engine_frame_address(void)
{
    char frame[FRAME_BYTES], *address;
    __asm__ volatile("" : "=r"(address) : "0"(frame) : "memory");
    return address;
}

/* Every frame of a stack's text ends with a byte put by dbuf_putc: there the prelude's are taken out again. */
#include "cutils.h"
#include "quickjs.h"
static int engine_put(DynBuf *buffer, uint8_t byte);

/* QuickJS pushes onto lists of its own (JSON.stringify, groupBy) as push does for a program, through setters of
   Array.prototype. Declarations begin with a type and calls with `ctx`: the calls go to engine_push. */
#define js_array_push(first, ...) PUSH_##first, __VA_ARGS__)
#define PUSH_JSContext (js_array_push)(JSContext
#define PUSH_ctx engine_push(ctx
static JSValue engine_push(JSContext *ctx, JSValueConst list, int count, JSValueConst *values, int unshift);

/* Declaring a global is something else in a program of a session: globals.h. The same trick. */
#define JS_CheckDefineGlobalVar(first, ...) CHECK_##first, __VA_ARGS__)
#define CHECK_JSContext JS_CheckDefineGlobalVar_(JSContext
#define CHECK_ctx engine_check_define(ctx
static int engine_check_define(JSContext *ctx, JSAtom name, int flags);
#define JS_DefineGlobalVar(first, ...) DEFINE_##first, __VA_ARGS__)
#define DEFINE_JSContext JS_DefineGlobalVar_(JSContext
#define DEFINE_ctx engine_define_var(ctx
static int engine_define_var(JSContext *ctx, JSAtom name, int flags);
#define JS_DefineGlobalFunction(first, ...) FUNCTION_##first, __VA_ARGS__)
#define FUNCTION_JSContext JS_DefineGlobalFunction_(JSContext
#define FUNCTION_ctx engine_define_function(ctx
static int engine_define_function(JSContext *ctx, JSAtom name, JSValue function, int flags);
/* Called where the build has taken out the refusal of a `return` outside functions. */
struct JSParseState;
static int engine_parse_return(struct JSParseState *state);

#define dbuf_putc engine_put
#define vsnprintf engine_vsnprintf
#define __builtin_frame_address(level) engine_frame_address()
#include "quickjs.c"
#undef __builtin_frame_address
#undef vsnprintf
#undef dbuf_putc
#undef js_array_push
#undef JS_CheckDefineGlobalVar
#undef JS_DefineGlobalVar
#undef JS_DefineGlobalFunction
#include "guest.h"
#include "globals.h"

/* Names a program may expect from a browser or from Node, and what to use here instead. `typeof` still says undefined. */
static const struct { const char *names, *instead; } absent[] = {
    { " require __dirname __filename ", "modules cannot be loaded; use codemode for tools, fetch for HTTP and the web APIs" },
    { " module exports ", "use `return` or `export default`" },
    { " process ", "there is no process or environment; pass values through inputs" },
    { " Buffer ", "use Uint8Array, TextEncoder, TextDecoder, atob and btoa" },
    { " XMLHttpRequest WebSocket EventSource axios ", "use fetch" },
    { " window self global document navigator location history localStorage sessionStorage indexedDB ",
      "there is no browser page; global names are on globalThis, data comes through inputs, codemode and fetch" },
    { " Worker SharedWorker MessageChannel MessagePort BroadcastChannel SharedArrayBuffer Atomics ",
      "a program has one thread; use Promise.all for calls that run side by side" },
    { " WebAssembly ", "only JavaScript runs here" },
    { " fs path os child_process http https net Deno Bun std ", "there are no files, processes or sockets; use fetch and codemode" },
    { " FormData File Blob FileReader ReadableStream WritableStream TransformStream CompressionStream DecompressionStream ",
      "bodies are strings, ArrayBuffer, typed arrays or URLSearchParams" },
    { " WeakRef FinalizationRegistry ", "what the collector does is not visible; use Map or WeakMap" },
    { " Intl ", "write the format out by hand or use toLocaleString without options" },
    { " requestAnimationFrame alert prompt confirm ", "there is no browser page; use setTimeout and console.log" },
};

static const char *instead_of(const char *name)
{
    char word[40];
    if (strlen(name) + 3 > sizeof(word))
        return NULL;
    snprintf(word, sizeof(word), " %s ", name);
    for (size_t i = 0; i < COUNT_OF(absent); i++)
        if (strstr(absent[i].names, word))
            return absent[i].instead;
    return NULL;
}

/* QuickJS words every error message here; only the ReferenceError of an unknown name is given more to say. */
static int engine_vsnprintf(char *out, size_t size, const char *format, va_list arguments)
{
    if (strcmp(format, "%s is not defined") != 0)
        return vsnprintf(out, size, format, arguments);
    const char *name = va_arg(arguments, const char *);
    const char *instead = instead_of(name);
    if (!instead)
        return snprintf(out, size, "%s is not defined", name);
    return snprintf(out, size, "%s is not defined: not available in this sandbox, %s", name, instead);
}

static bool prelude_hidden;

void engine_hide_prelude(void)
{
    prelude_hidden = true;
}

static size_t last_line(const DynBuf *buffer)
{
    size_t start = buffer->size ? buffer->size - 1 : 0;
    while (start > 0 && buffer->buf[start - 1] != '\n')
        start--;
    return start;
}

/* Whether the last parentheses of the last line begin with `text`: a file, or what else QuickJS says of a function. */
static bool last_line_says(const DynBuf *buffer, const char *text)
{
    size_t start = last_line(buffer), at = buffer->size, len = strlen(text);
    while (at > start && buffer->buf[at - 1] != '(')
        at--;
    return at > start && buffer->size - at >= len && memcmp(buffer->buf + at, text, len) == 0;
}

/* With a frame of the prelude go the engine's own functions that it called. */
static int engine_put(DynBuf *buffer, uint8_t byte)
{
    if (dbuf_putc(buffer, byte))
        return -1;
    if (byte != '\n' || !prelude_hidden || !((JSContext *)buffer->opaque)->rt->in_build_stack_trace)
        return 0;
    if (!last_line_says(buffer, "lockgate:"))
        return 0;
    do
        buffer->size = last_line(buffer);
    while (last_line_says(buffer, "native)"));
    return 0;
}

static JSValue engine_push(JSContext *ctx, JSValueConst list, int count, JSValueConst *values, int unshift)
{
    int64_t len;
    if (ctx->std_array_prototype)
        return js_array_push(ctx, list, count, values, unshift);
    if (js_get_length64(ctx, &len, list))
        return JS_EXCEPTION;
    for (int i = 0; i < count; i++)
        if (JS_CreateDataPropertyUint32(ctx, list, len + i, js_dup(values[i]), JS_PROP_THROW) < 0)
            return JS_EXCEPTION;
    return js_int64(len + count);
}

void engine_seed_math_random(JSContext *ctx, uint64_t state)
{
    ctx->random_state = state ? state : 1;
}

/* Error.prepareStackTrace would hand a program the prelude's own functions, as CallSite.getFunction() does. */
void engine_close_stack_hooks(JSContext *ctx)
{
    JSAtom name = JS_NewAtom(ctx, "prepareStackTrace");
    JS_DeleteProperty(ctx, ctx->error_ctor, name, 0);
    JS_FreeAtom(ctx, name);
}

/* Unlike JS_Eval this takes the type INDIRECT, whose top-level let, const and class are fast local variables. */
JSValue engine_eval(JSContext *ctx, const char *source, size_t len, const char *file, int flags)
{
    return JS_EvalInternal(ctx, ctx->global_obj, source, len, file, 1, flags, -1);
}

/* For the prelude: its functions keep their positions, but not their text, which a program could print. */
JSValue engine_eval_without_source(JSContext *ctx, const char *source, size_t len, const char *file)
{
    size_t size;
    JSValue compiled = engine_eval(ctx, source, len, file, JS_EVAL_TYPE_INDIRECT | JS_EVAL_FLAG_COMPILE_ONLY);
    if (JS_IsException(compiled))
        return compiled;
    uint8_t *code = JS_WriteObject(ctx, &size, compiled, JS_WRITE_OBJ_BYTECODE | JS_WRITE_OBJ_STRIP_SOURCE);
    JS_FreeValue(ctx, compiled);
    if (!code)
        return JS_EXCEPTION;
    JSValue stripped = JS_ReadObject(ctx, code, size, JS_READ_OBJ_BYTECODE);
    js_free(ctx, code);
    return JS_IsException(stripped) ? stripped : JS_EvalFunction(ctx, stripped);
}
