/* Text for the host: valid UTF-8, with U+FFFD in place of what Unicode has no scalar value for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "guest.h"

/* QuickJS encodes a lone surrogate as three bytes ED A0..BF xx; U+FFFD also has three, so it fits in place. */
static void repair_bytes(char *data, size_t len)
{
    char *end = data + len;
    while ((data = memchr(data, 0xED, (size_t)(end - data)))) {
        if (end - data >= 3 && (uint8_t)data[1] >= 0xA0)
            memcpy(data, "\xEF\xBF\xBD", 3);
        data++;
    }
}

static int surrogate(const char *at, const char *end)
{
    if (end - at < 6 || at[1] != 'u' || (at[2] | 32) != 'd' || !at[3] || !strchr("89abcdefABCDEF", at[3]))
        return 0;
    return strchr("89abAB", at[3]) ? 1 : 2;
}

/* JSON.stringify writes a lone surrogate as the escape \udXXX; an escaped pair is left as it is. */
static void repair_escapes(char *data, size_t len)
{
    char *end = data + len;
    while ((data = memchr(data, '\\', (size_t)(end - data)))) {
        int half = surrogate(data, end);
        if (half == 1 && surrogate(data + 6, end) == 2) {
            data += 12;
        } else if (half) {
            memcpy(data, "\\ufffd", 6);
            data += 6;
        } else {
            data += 2;
        }
        if (data >= end)
            return;
    }
}

struct text text_of(JSContext *ctx, JSValueConst value)
{
    struct text text = { NULL, 0, false };
    text.data = JS_ToCStringLen(ctx, &text.len, value);
    /* Only a string with a non-ASCII character can hold ED, and of such a string QuickJS hands out a copy. */
    if (text.data)
        repair_bytes((char *)text.data, text.len);
    return text;
}

struct text text_of_json(JSContext *ctx, JSValueConst value)
{
    struct text text = text_of(ctx, value);
    if (!text.data || !memchr(text.data, '\\', text.len))
        return text;
    char *copy = malloc(text.len + 1);
    if (copy)
        repair_escapes(memcpy(copy, text.data, text.len + 1), text.len);
    else
        JS_ThrowOutOfMemory(ctx);
    text_free(ctx, text);
    return (struct text){ copy, copy ? text.len : 0, true };
}

void text_free(JSContext *ctx, struct text text)
{
    if (text.own)
        free((char *)text.data);
    else
        JS_FreeCString(ctx, text.data);
}

/* The longest prefix of at most `limit` bytes that ends between characters. */
static size_t whole_characters(const char *data, size_t limit)
{
    while (limit > 0 && ((uint8_t)data[limit] & 0xC0) == 0x80)
        limit--;
    return limit;
}

/* A line above the limit is sent up to the limit, its end replaced by how much is missing. */
void text_log(uint32_t level, struct text text)
{
    if (text.len <= limits.log_line_bytes) {
        host_log(level, text.data, text.len);
        return;
    }
    char mark[80];
    size_t mark_len = (size_t)snprintf(mark, sizeof(mark), " ... [cut: line of %zu bytes, limit %u]", text.len,
                                       (unsigned)limits.log_line_bytes);
    size_t room = limits.log_line_bytes > mark_len ? limits.log_line_bytes - mark_len : 0;
    size_t keep = whole_characters(text.data, room);
    char *line = must(malloc(keep + mark_len));
    memcpy(line, text.data, keep);
    memcpy(line + keep, mark, mark_len);
    host_log(level, line, keep + mark_len);
    free(line);
}
