/* ChaCha20 (RFC 8439, section 2.3) as a stream of randomness: key = the execution's seed, nonce 0, counter from 0. */
#include <string.h>
#include "guest.h"

static uint32_t state[16];
static uint8_t block[64];
static size_t used = sizeof(block);

static inline uint32_t rotate(uint32_t value, int bits)
{
    return value << bits | value >> (32 - bits);
}

static inline void quarter_round(uint32_t *x, int a, int b, int c, int d)
{
    x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 16);
    x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 12);
    x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 8);
    x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 7);
}

static void next_block(void)
{
    uint32_t x[16];
    memcpy(x, state, sizeof(x));
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 4; i++)
            quarter_round(x, i, 4 + i, 8 + i, 12 + i);
        for (int i = 0; i < 4; i++)
            quarter_round(x, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
    }
    for (int i = 0; i < 16; i++)
        x[i] += state[i];
    memcpy(block, x, sizeof(block));
    if (++state[12] == 0)
        state[13]++;
    used = 0;
}

void random_seed(const uint8_t key[32])
{
    static const uint32_t constants[4] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
    memset(state, 0, sizeof(state));
    memcpy(state, constants, sizeof(constants));
    memcpy(state + 4, key, 32);
    used = sizeof(block);
}

void random_bytes(uint8_t *out, size_t len)
{
    while (len > 0) {
        if (used == sizeof(block))
            next_block();
        size_t part = sizeof(block) - used < len ? sizeof(block) - used : len;
        memcpy(out, block + used, part);
        used += part, out += part, len -= part;
    }
}
