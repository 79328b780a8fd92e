/* What the parts of the JavaScript guest know of each other. The ABI itself is in guest.c and told in ../README.md. */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "quickjs.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GUEST_EXPORT(name) __attribute__((export_name(name)))
#define GUEST_IMPORT(name) __attribute__((import_module("lockgate"), import_name(name)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* host: the only three functions that leave the guest. */
GUEST_IMPORT("submit")
void host_submit(uint32_t id, uint32_t kind, const char *name, size_t name_len, const char *payload, size_t payload_len);
GUEST_IMPORT("log") void host_log(uint32_t level, const char *text, size_t len);
GUEST_IMPORT("done") void host_done(uint32_t ok, const char *json, size_t len);

enum log_level { LOG_DEBUG = 1, LOG_INFO = 2, LOG_WARN = 3, LOG_ERROR = 4 };

/* guest.c: a pointer, or the end: out of memory is told to the host, then it traps. */
void *must(void *pointer);

/* limits: come with the run request, in bytes of UTF-8. */
struct limits {
    uint32_t call_bytes, log_line_bytes, result_bytes;
};
extern struct limits limits;

/* clock.c: time stands still between events. */
void clock_start(uint64_t now_ns);
void clock_move(uint64_t now_ns);
uint64_t clock_now(void);
uint64_t clock_elapsed(void);

/* random.c: a ChaCha20 stream keyed by the execution's seed. */
void random_seed(const uint8_t key[32]);
void random_bytes(uint8_t *out, size_t len);

/* text.c: UTF-8 for the host, without lone surrogates. */
struct text {
    const char *data; /* NULL after an exception; release with text_free */
    size_t len;
    bool own; /* malloc'ed here rather than lent by QuickJS */
};
struct text text_of(JSContext *ctx, JSValueConst value);
struct text text_of_json(JSContext *ctx, JSValueConst value);
void text_free(JSContext *ctx, struct text text);
void text_log(uint32_t level, struct text text);

/* timers.c: setTimeout and friends, ordered by due time, then by age. */
JSValue timer_set(JSContext *ctx, JSValueConst callback, double delay_ms, bool repeat);
void timer_clear(JSContext *ctx, double id);
void timer_clear_all(JSContext *ctx);
uint32_t timer_mark(void);
bool timer_fire(JSContext *ctx, uint32_t mark, JSValue *result);
bool timer_next(uint64_t *delay_ns);

/* memory.c: notes that an allocation failed, and keeps a reserve for telling so. */
extern const JSMallocFunctions memory_functions;
void memory_make_room(void);
void memory_keep_reserve(void);
void memory_free_reserve(void);
bool memory_was_short(void);
void memory_begin(void);

/* engine.c: what needs QuickJS's own source in view. */
void engine_seed_math_random(JSContext *ctx, uint64_t state);
void engine_close_stack_hooks(JSContext *ctx);
void engine_hide_prelude(void);
JSValue engine_eval(JSContext *ctx, const char *source, size_t len, const char *file, int flags);
void engine_end_program(JSContext *ctx);
void engine_share_module(JSContext *ctx, JSModuleDef *module);
JSValue engine_eval_without_source(JSContext *ctx, const char *source, size_t len, const char *file);

/* program.c: the program's text, and how it becomes a promise of its value. */
enum program_mode { PROGRAM_SCRIPT, PROGRAM_FUNCTION, PROGRAM_MODULE };
struct program {
    const char *source; /* with a NUL behind it */
    size_t len;
    uint32_t number; /* in its session, from 1; 0: alone */
    char file[24]; /* its name in stacks: a session's programs differ in it */
    enum program_mode mode;
};
extern struct program program;
JSValue program_start(JSContext *ctx);
void program_forget(JSContext *ctx);
JSValue program_exports(JSContext *ctx);
JSValue program_position(JSContext *ctx, uint32_t line, uint32_t byte_column);
char *program_refuse_import(JSContext *ctx, const char *base, const char *name, void *opaque);

/* natives.c: the C functions the prelude is built on; `pending_calls` counts host calls without a result. */
extern uint32_t pending_calls;
JSValue natives_object(JSContext *ctx);

struct native { /* tables of these end with a NULL name */
    const char *name;
    JSCFunction *function;
    int length;
};
extern const struct native encoding_natives[]; /* encoding.c */
extern const struct native url_natives[];      /* url.cpp */

#ifdef __cplusplus
}
#endif
#endif
