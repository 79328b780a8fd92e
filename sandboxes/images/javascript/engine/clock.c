/* The guest's clock: moved by events alone, so a program cannot measure the host and a replay sees the same times. */
#include <errno.h>
#include <sys/time.h>
#include <time.h>
#include "guest.h"

static uint64_t start_ns, now_ns;

void clock_start(uint64_t ns)
{
    start_ns = now_ns = ns;
}

/* An event from the past does not turn the clock back. */
void clock_move(uint64_t ns)
{
    if (ns > now_ns)
        now_ns = ns;
}

uint64_t clock_now(void)
{
    return now_ns;
}

uint64_t clock_elapsed(void)
{
    return now_ns - start_ns;
}

/* The C library's faces of the same clock: QuickJS's Date, Atomics and performance ask here. */
int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    (void)zone;
    out->tv_sec = (time_t)(now_ns / 1000000000u);
    out->tv_usec = (suseconds_t)(now_ns % 1000000000u / 1000u);
    return 0;
}

int __clock_gettime(clockid_t id, struct timespec *out)
{
    uint64_t ns = id == CLOCK_REALTIME ? now_ns : clock_elapsed();
    out->tv_sec = (time_t)(ns / 1000000000u);
    out->tv_nsec = (long)(ns % 1000000000u);
    return 0;
}

int clock_gettime(clockid_t id, struct timespec *out)
{
    return __clock_gettime(id, out);
}
