/* Text and bytes for the prelude: UTF-8 and UTF-16LE of the Encoding Standard, latin1 as one character per byte, the URL
   Standard's application/x-www-form-urlencoded, and randomness. */
#include <stdlib.h>
#include <string.h>
#include "guest.h"

#define REPLACEMENT 0xFFFD

/* Decodes one character at `at` (Encoding Standard, 8.1.1): its length in *used, REPLACEMENT for a malformed one. */
static uint32_t decode_one(const uint8_t *at, size_t left, size_t *used, bool *bad)
{
    uint8_t first = at[0], low = 0x80, high = 0xBF;
    uint32_t point;
    int more;
    *used = 1;
    if (first < 0x80)
        return first;
    if (first >= 0xC2 && first <= 0xDF) {
        more = 1, point = first & 0x1F;
    } else if (first >= 0xE0 && first <= 0xEF) {
        more = 2, point = first & 0x0F;
        low = first == 0xE0 ? 0xA0 : low, high = first == 0xED ? 0x9F : high;
    } else if (first >= 0xF0 && first <= 0xF4) {
        more = 3, point = first & 0x07;
        low = first == 0xF0 ? 0x90 : low, high = first == 0xF4 ? 0x8F : high;
    } else {
        *bad = true;
        return REPLACEMENT;
    }
    for (int i = 0; i < more; i++, low = 0x80, high = 0xBF) {
        if (*used >= left || at[*used] < low || at[*used] > high) {
            *bad = true;
            return REPLACEMENT;
        }
        point = point << 6 | (at[(*used)++] & 0x3F);
    }
    return point;
}

static bool is_valid(const uint8_t *data, size_t len)
{
    bool bad = false;
    size_t used;
    for (size_t i = 0; i < len && !bad; i += used)
        decode_one(data + i, len - i, &used, &bad);
    return !bad;
}

/* Every byte gives at most one UTF-16 unit, except that four bytes give two. */
static JSValue decode_with_replacements(JSContext *ctx, const uint8_t *data, size_t len)
{
    uint16_t *units = malloc(len * 2 + 2);
    if (!units)
        return JS_ThrowOutOfMemory(ctx);
    size_t count = 0, used;
    bool bad = false;
    for (size_t i = 0; i < len; i += used) {
        uint32_t point = decode_one(data + i, len - i, &used, &bad);
        if (point >= 0x10000) {
            units[count++] = (uint16_t)(0xD7C0 + (point >> 10));
            units[count++] = (uint16_t)(0xDC00 | (point & 0x3FF));
        } else {
            units[count++] = (uint16_t)point;
        }
    }
    JSValue text = JS_NewStringUTF16(ctx, units, count);
    free(units);
    return text;
}

static JSValue decode_utf8(JSContext *ctx, const uint8_t *data, size_t len, bool fatal)
{
    if (is_valid(data, len))
        return JS_NewStringLen(ctx, (const char *)data, len);
    if (fatal)
        return JS_ThrowTypeError(ctx, "the bytes are not valid UTF-8");
    return decode_with_replacements(ctx, data, len);
}

/* utf8(text) -> Uint8Array */
static JSValue js_utf8(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc;
    struct text text = text_of(ctx, argv[0]);
    if (!text.data)
        return JS_EXCEPTION;
    JSValue bytes = JS_NewUint8ArrayCopy(ctx, (const uint8_t *)text.data, text.len);
    text_free(ctx, text);
    return bytes;
}

/* utf8Length(text) -> bytes */
static JSValue js_utf8_length(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc;
    struct text text = text_of(ctx, argv[0]);
    if (!text.data)
        return JS_EXCEPTION;
    JSValue length = JS_NewUint32(ctx, (uint32_t)text.len);
    text_free(ctx, text);
    return length;
}

/* text(Uint8Array, fatal) -> string */
static JSValue js_text(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc;
    size_t len;
    const uint8_t *data = JS_GetUint8Array(ctx, &len, argv[0]);
    return data ? decode_utf8(ctx, data, len, JS_ToBool(ctx, argv[1]) > 0) : JS_EXCEPTION;
}

/* unfinished(Uint8Array) -> how many bytes at the end may be the start of a character that is still to come */
static JSValue js_unfinished(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc;
    size_t len;
    const uint8_t *data = JS_GetUint8Array(ctx, &len, argv[0]);
    if (!data)
        return JS_EXCEPTION;
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        uint8_t byte = data[len - back];
        if ((byte & 0xC0) == 0x80)
            continue;
        size_t needs = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC2 ? 2 : 1, used;
        bool bad = false;
        decode_one(data + len - back, back, &used, &bad);
        return JS_NewUint32(ctx, needs > back && bad && used == back ? (uint32_t)back : 0);
    }
    return JS_NewUint32(ctx, 0);
}

/* latin1(Uint8Array) -> string, one character per byte */
static JSValue js_latin1(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc;
    size_t len;
    const uint8_t *data = JS_GetUint8Array(ctx, &len, argv[0]);
    uint16_t *units = data ? malloc(len * 2 + 2) : NULL;
    if (!data)
        return JS_EXCEPTION;
    if (!units)
        return JS_ThrowOutOfMemory(ctx);
    for (size_t i = 0; i < len; i++)
        units[i] = data[i];
    JSValue text = JS_NewStringUTF16(ctx, units, len);
    free(units);
    return text;
}

/* utf16(Uint8Array of even length) -> string; lone surrogates become U+FFFD, or throw if fatal */
static JSValue js_utf16(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc;
    size_t len;
    const uint8_t *data = JS_GetUint8Array(ctx, &len, argv[0]);
    bool fatal = JS_ToBool(ctx, argv[1]) > 0, bad = false;
    uint16_t *units = data ? malloc(len + 2) : NULL;
    if (!data)
        return JS_EXCEPTION;
    if (!units)
        return JS_ThrowOutOfMemory(ctx);
    size_t count = len / 2;
    memcpy(units, data, count * 2);
    for (size_t i = 0; i < count; i++) {
        if ((units[i] & 0xF800) != 0xD800)
            continue;
        if (units[i] < 0xDC00 && i + 1 < count && (units[i + 1] & 0xFC00) == 0xDC00)
            i++;
        else
            units[i] = REPLACEMENT, bad = true;
    }
    JSValue text = bad && fatal ? JS_ThrowTypeError(ctx, "the bytes are not valid UTF-16LE")
                                : JS_NewStringUTF16(ctx, units, count);
    free(units);
    return text;
}

static int hex(uint8_t digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* formDecode(text) -> string: + is a space, %XX a byte, the bytes UTF-8 */
static JSValue js_form_decode(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc;
    struct text text = text_of(ctx, argv[0]);
    if (!text.data)
        return JS_EXCEPTION;
    uint8_t *out = malloc(text.len + 1);
    size_t count = 0;
    for (size_t i = 0; out && i < text.len; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        /* The text ends in a NUL, so looking two bytes ahead stays inside it. */
        int high = byte == '%' ? hex((uint8_t)text.data[i + 1]) : -1, low = high < 0 ? -1 : hex((uint8_t)text.data[i + 2]);
        if (low >= 0)
            out[count++] = (uint8_t)(high << 4 | low), i += 2;
        else
            out[count++] = byte == '+' ? ' ' : byte;
    }
    text_free(ctx, text);
    JSValue decoded = out ? decode_utf8(ctx, out, count, false) : JS_ThrowOutOfMemory(ctx);
    free(out);
    return decoded;
}

static bool stays(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') || (byte && strchr("*-._", byte));
}

/* formEncode(text) -> string of ASCII */
static JSValue js_form_encode(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    static const char digits[] = "0123456789ABCDEF";
    (void)this_value, (void)argc;
    struct text text = text_of(ctx, argv[0]);
    if (!text.data)
        return JS_EXCEPTION;
    char *out = text.len < UINT32_MAX / 3 ? malloc(text.len * 3 + 1) : NULL;
    size_t count = 0;
    for (size_t i = 0; out && i < text.len; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        if (stays(byte) || byte == ' ') {
            out[count++] = byte == ' ' ? '+' : (char)byte;
        } else {
            out[count++] = '%';
            out[count++] = digits[byte >> 4];
            out[count++] = digits[byte & 15];
        }
    }
    text_free(ctx, text);
    JSValue encoded = out ? JS_NewStringLen(ctx, out, count) : JS_ThrowOutOfMemory(ctx);
    free(out);
    return encoded;
}

/* fillRandom(Uint8Array): fills it from the execution's random stream */
static JSValue js_fill_random(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    (void)this_value, (void)argc;
    size_t len;
    uint8_t *data = JS_GetUint8Array(ctx, &len, argv[0]);
    if (!data)
        return JS_EXCEPTION;
    random_bytes(data, len);
    return JS_UNDEFINED;
}

/* uuid() -> a version 4 UUID (RFC 9562, section 5.4) */
static JSValue js_uuid(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[16];
    char text[36], *out = text;
    (void)this_value, (void)argc, (void)argv;
    random_bytes(bytes, sizeof(bytes));
    bytes[6] = (bytes[6] & 0x0F) | 0x40;
    bytes[8] = (bytes[8] & 0x3F) | 0x80;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    return JS_NewStringLen(ctx, text, sizeof(text));
}

const struct native encoding_natives[] = {
    { "utf8", js_utf8, 1 },
    { "utf8Length", js_utf8_length, 1 },
    { "text", js_text, 2 },
    { "unfinished", js_unfinished, 1 },
    { "latin1", js_latin1, 1 },
    { "utf16", js_utf16, 2 },
    { "formDecode", js_form_decode, 1 },
    { "formEncode", js_form_encode, 1 },
    { "fillRandom", js_fill_random, 1 },
    { "uuid", js_uuid, 0 },
    { NULL, NULL, 0 },
};
