/* How a program's text becomes a promise of its value: as a script, as a function body, or as a module. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "guest.h"

/* Without a line break, so that lines stay the caller's; program_position takes it off the first line's columns. */
#define FUNCTION_HEAD "(async function(){"
#define RETURN_OUTSIDE "return not in a function"

struct program program;
static JSModuleDef *module;

/* Takes the pending SyntaxError and copies its message; "" for any other exception. */
static JSValue take_syntax_error(JSContext *ctx, char *message, size_t size)
{
    JSValue error = JS_GetException(ctx);
    JSValue name = JS_GetPropertyStr(ctx, error, "name"), text = JS_GetPropertyStr(ctx, error, "message");
    const char *name_text = JS_ToCString(ctx, name), *message_text = JS_ToCString(ctx, text);
    bool syntax = name_text && message_text && strcmp(name_text, "SyntaxError") == 0;
    snprintf(message, size, "%s", syntax ? message_text : "");
    JS_FreeCString(ctx, name_text);
    JS_FreeCString(ctx, message_text);
    JS_FreeValue(ctx, name);
    JS_FreeValue(ctx, text);
    return error;
}

static JSValue compile(JSContext *ctx, enum program_mode mode, int flags)
{
    program.mode = mode;
    return engine_eval(ctx, program.source, program.len, program.file, flags | JS_EVAL_FLAG_COMPILE_ONLY);
}

/* The program as the body of an async function. */
static JSValue compile_function(JSContext *ctx)
{
    static const char before[] = FUNCTION_HEAD, after[] = "\n})";
    const size_t head = sizeof(before) - 1, total = head + program.len + sizeof(after) - 1;
    char *text = malloc(total + 1);
    if (!text)
        return JS_ThrowOutOfMemory(ctx);
    memcpy(text, before, head);
    memcpy(text + head, program.source, program.len);
    memcpy(text + head + program.len, after, sizeof(after));
    if (program.len >= 2 && program.source[0] == '#' && program.source[1] == '!')
        memcpy(text + head, "//", 2);
    JSValue function = engine_eval(ctx, text, total, program.file, JS_EVAL_TYPE_INDIRECT);
    free(text);
    return function;
}

static JSValue start_function(JSContext *ctx)
{
    program.mode = PROGRAM_FUNCTION;
    JSValue function = compile_function(ctx);
    if (JS_IsException(function))
        return function;
    JSValue promise = JS_Call(ctx, function, JS_UNDEFINED, 0, NULL);
    JS_FreeValue(ctx, function);
    return promise;
}

/* A module is tried only for a program that names import or export, and that is not a script. */
static JSValue start_module(JSContext *ctx, JSValue script_error)
{
    char message[256];
    JSValue compiled = compile(ctx, PROGRAM_MODULE, JS_EVAL_TYPE_MODULE);
    if (!JS_IsException(compiled)) {
        JS_FreeValue(ctx, script_error);
        module = JS_VALUE_GET_PTR(compiled);
        return JS_EvalFunction(ctx, compiled);
    }
    JSValue error = take_syntax_error(ctx, message, sizeof(message));
    JS_FreeValue(ctx, script_error);
    if (strcmp(message, RETURN_OUTSIDE) == 0)
        JS_SetPropertyStr(ctx, error, "message", JS_NewString(ctx, "a program with import or export cannot also have a "
                          "return outside a function: export default the value"));
    return JS_Throw(ctx, error);
}

static void name_file(void)
{
    if (program.number)
        snprintf(program.file, sizeof(program.file), "program-%u.js", (unsigned)program.number);
    else
        snprintf(program.file, sizeof(program.file), "program.js");
}

/* Returns a promise, or an exception; program.mode says how the program was read. */
JSValue program_start(JSContext *ctx)
{
    char message[256];
    name_file();
    int type = program.number ? JS_EVAL_TYPE_GLOBAL : JS_EVAL_TYPE_INDIRECT;
    JSValue compiled = compile(ctx, PROGRAM_SCRIPT, type | JS_EVAL_FLAG_ASYNC);
    if (!JS_IsException(compiled))
        return JS_EvalFunction(ctx, compiled);
    JSValue error = take_syntax_error(ctx, message, sizeof(message));
    if (strcmp(message, RETURN_OUTSIDE) == 0) {
        JS_FreeValue(ctx, error);
        return start_function(ctx);
    }
    if (*message && (strstr(program.source, "export") || strstr(program.source, "import")))
        return start_module(ctx, error);
    return JS_Throw(ctx, error);
}

/* What a module of a session declared stays. */
void program_forget(JSContext *ctx)
{
    if (program.number && module)
        engine_share_module(ctx, module);
    free((char *)program.source);
    program = (struct program){ 0 };
    module = NULL;
}

JSValue program_exports(JSContext *ctx)
{
    return module ? JS_GetModuleNamespace(ctx, module) : JS_UNDEFINED;
}

static const char *find_line(uint32_t wanted, size_t *len)
{
    const char *line = program.source, *end = program.source + program.len;
    for (uint32_t number = 1; line; number++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        *len = (size_t)((stop ? stop : end) - line);
        if (number == wanted)
            return line;
        line = stop ? stop + 1 : NULL;
    }
    return NULL;
}

/* QuickJS counts columns in bytes; people count characters. */
static uint32_t character_column(const char *line, size_t len, uint32_t byte_column)
{
    uint32_t column = 1;
    for (size_t i = 0; i < len && i + 1 < byte_column; i++)
        column += ((uint8_t)line[i] & 0xC0) != 0x80;
    return column;
}

JSValue program_position(JSContext *ctx, uint32_t number, uint32_t byte_column)
{
    size_t len;
    uint32_t prefix = number == 1 && program.mode == PROGRAM_FUNCTION ? sizeof(FUNCTION_HEAD) - 1 : 0;
    const char *line = find_line(number, &len);
    if (!line)
        return JS_UNDEFINED;
    JSValue position = JS_NewObjectProto(ctx, JS_NULL);
    byte_column = byte_column > prefix ? byte_column - prefix : 1;
    JS_SetPropertyStr(ctx, position, "column", JS_NewUint32(ctx, character_column(line, len, byte_column)));
    len -= len > 0 && line[len - 1] == '\r';
    JS_SetPropertyStr(ctx, position, "text", JS_NewStringLen(ctx, line, len));
    return position;
}

/* Where the program writes the module's name between quotes, as a stack frame of its own. */
static void import_frame(const char *name, char *frame, size_t size)
{
    char quoted[120];
    const char *at = NULL;
    for (const char *quote = "\"'"; *quote && !at; quote++) {
        snprintf(quoted, sizeof(quoted), "%c%s%c", *quote, name, *quote);
        at = strstr(program.source, quoted);
    }
    *frame = 0;
    if (!at)
        return;
    uint32_t line = 1;
    const char *start = program.source;
    for (const char *c = program.source; c < at; c++)
        if (*c == '\n')
            line++, start = c + 1;
    uint32_t prefix = line == 1 && program.mode == PROGRAM_FUNCTION ? sizeof(FUNCTION_HEAD) - 1 : 0;
    snprintf(frame, size, "    at %s:%u:%u\n", program.file, (unsigned)line, (unsigned)(at - start) + 1 + prefix);
}

/* The module name normaliser: there is nothing to load, so every name ends here. */
char *program_refuse_import(JSContext *ctx, const char *base, const char *name, void *opaque)
{
    char frame[80];
    (void)base, (void)opaque;
    JS_ThrowReferenceError(ctx, "cannot import '%.80s': modules cannot be loaded in this sandbox, use the global codemode for "
                                "tools, fetch for HTTP and the built-in web APIs", name);
    JSValue error = JS_GetException(ctx);
    import_frame(name, frame, sizeof(frame));
    JS_DefinePropertyValueStr(ctx, error, "stack", JS_NewString(ctx, frame), JS_PROP_CONFIGURABLE | JS_PROP_WRITABLE);
    JS_Throw(ctx, error);
    return NULL;
}
