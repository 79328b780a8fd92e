/* The WHATWG URL parser, ada, as two functions without state: a URL is its normalised text and nine offsets into it. */
#include <cstdlib>
#include <new>

#include "ada.h"

#include "guest.h"

using ada::url_aggregator;

/* Without exceptions the library's own would abort, and nobody would know why. */
void *operator new(size_t size)
{
    return must(malloc(size ? size : 1));
}

static void put(JSContext *ctx, JSValue object, const char *name, uint32_t value)
{
    JS_SetPropertyStr(ctx, object, name, value == ada::url_components::omitted ? JS_NewInt32(ctx, -1) : JS_NewUint32(ctx, value));
}

static JSValue record(JSContext *ctx, const url_aggregator &url)
{
    const ada::url_components &parts = url.get_components();
    JSValue object = JS_NewObjectProto(ctx, JS_NULL);
    if (JS_IsException(object))
        return object;
    std::string_view href = url.get_href();
    JS_SetPropertyStr(ctx, object, "href", JS_NewStringLen(ctx, href.data(), href.size()));
    put(ctx, object, "protocolEnd", parts.protocol_end);
    put(ctx, object, "usernameEnd", parts.username_end);
    put(ctx, object, "hostStart", parts.host_start);
    put(ctx, object, "hostEnd", parts.host_end);
    put(ctx, object, "port", parts.port);
    put(ctx, object, "pathnameStart", parts.pathname_start);
    put(ctx, object, "searchStart", parts.search_start);
    put(ctx, object, "hashStart", parts.hash_start);
    return object;
}

static std::string_view view(struct text text)
{
    return { text.data, text.len };
}

/* url(text, base or undefined) -> record, undefined if it is none */
static JSValue js_url(JSContext *ctx, JSValueConst, int, JSValueConst *argv)
{
    bool based = !JS_IsUndefined(argv[1]);
    struct text input = text_of(ctx, argv[0]), base = based ? text_of(ctx, argv[1]) : text{ "", 0, false };
    JSValue result = JS_EXCEPTION;
    if (input.data && base.data) {
        ada::result<url_aggregator> root = based ? ada::parse<url_aggregator>(view(base)) : ada::result<url_aggregator>{};
        if (based && !root) {
            result = JS_UNDEFINED;
        } else {
            auto url = ada::parse<url_aggregator>(view(input), based ? &*root : nullptr);
            result = url ? record(ctx, *url) : JS_UNDEFINED;
        }
    }
    text_free(ctx, input);
    if (based)
        text_free(ctx, base);
    return result;
}

enum part { PROTOCOL, USERNAME, PASSWORD, HOST, HOSTNAME, PORT, PATHNAME, SEARCH, HASH };

static void set(url_aggregator &url, int32_t part, std::string_view value)
{
    switch (part) {
    case PROTOCOL: url.set_protocol(value); break;
    case USERNAME: url.set_username(value); break;
    case PASSWORD: url.set_password(value); break;
    case HOST: url.set_host(value); break;
    case HOSTNAME: url.set_hostname(value); break;
    case PORT: url.set_port(value); break;
    case PATHNAME: url.set_pathname(value); break;
    case SEARCH: url.set_search(value); break;
    case HASH: url.set_hash(value); break;
    }
}

/* urlWith(href, part, value) -> record */
static JSValue js_url_with(JSContext *ctx, JSValueConst, int, JSValueConst *argv)
{
    int32_t part;
    if (JS_ToInt32(ctx, &part, argv[1]))
        return JS_EXCEPTION;
    struct text href = text_of(ctx, argv[0]), value = text_of(ctx, argv[2]);
    JSValue result = JS_EXCEPTION;
    if (href.data && value.data) {
        auto url = ada::parse<url_aggregator>(view(href));
        if (url) {
            set(*url, part, view(value));
            result = record(ctx, *url);
        } else {
            result = JS_UNDEFINED;
        }
    }
    text_free(ctx, href);
    text_free(ctx, value);
    return result;
}

extern "C" const struct native url_natives[] = {
    { "url", js_url, 2 },
    { "urlWith", js_url_with, 3 },
    { nullptr, nullptr, 0 },
};
