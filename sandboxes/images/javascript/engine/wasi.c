/* What the C library would still import from WASI for stdio, which nothing here uses: answered inside, so that the module
   imports nothing but the three host functions. */
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#define REFUSE(name, ...) \
    int32_t __imported_wasi_snapshot_preview1_##name(__VA_ARGS__); \
    int32_t __imported_wasi_snapshot_preview1_##name(__VA_ARGS__) { return EBADF; }

#pragma clang diagnostic ignored "-Wunused-parameter"
REFUSE(fd_fdstat_get, int32_t fd, int32_t out)
REFUSE(fd_seek, int32_t fd, int64_t offset, int32_t whence, int32_t out)
REFUSE(fd_write, int32_t fd, int32_t vectors, int32_t count, int32_t out)

int close(int fd)
{
    (void)fd;
    errno = EBADF;
    return -1;
}
