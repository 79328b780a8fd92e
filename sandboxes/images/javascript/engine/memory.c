/* malloc with a memory: an uncaught error after a failed allocation is told as the memory limit. */
#include <malloc.h>
#include <stdlib.h>
#include "guest.h"

enum { RESERVE_BYTES = 128 * 1024, ROOM_BYTES = 512 * 1024 };
static bool short_of_memory;
static void *reserve;

static void *noted(void *pointer, size_t size)
{
    if (!pointer && size)
        short_of_memory = true;
    return pointer;
}

static void *guest_calloc(void *opaque, size_t count, size_t size)
{
    (void)opaque;
    return noted(calloc(count, size), size);
}

static void *guest_malloc(void *opaque, size_t size)
{
    (void)opaque;
    return noted(malloc(size), size);
}

static void *guest_realloc(void *opaque, void *pointer, size_t size)
{
    (void)opaque;
    return noted(realloc(pointer, size), size);
}

static void guest_free(void *opaque, void *pointer)
{
    (void)opaque;
    free(pointer);
}

static size_t guest_usable(const void *pointer)
{
    return malloc_usable_size((void *)pointer);
}

const JSMallocFunctions memory_functions = { guest_calloc, guest_malloc, guest_free, guest_realloc, guest_usable };

/* Before the snapshot: room behind the heap, so that a small run does not have to grow the memory. */
void memory_make_room(void)
{
    free(malloc(ROOM_BYTES));
}

void memory_keep_reserve(void)
{
    reserve = malloc(RESERVE_BYTES);
}

void memory_free_reserve(void)
{
    free(reserve);
    reserve = NULL;
}

bool memory_was_short(void)
{
    return short_of_memory;
}

/* A further program of a session: what an earlier one tried in vain or used up is not this one's. */
void memory_begin(void)
{
    short_of_memory = false;
    if (!reserve)
        memory_keep_reserve();
}
