/* Preloaded into the agent: what its disk and its wall clock do wrong, as the test says in a file of a page.

   FAULTY_CONTROL names that file, FAULTY_FOLDER the folder whose files are meant; see faulty.py. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t step_ns;       /* added to the wall clock */
    int32_t sync_us;       /* how much longer fsync and fdatasync take */
    int32_t sync_errno;    /* of fsync and fdatasync; 0: they work */
    int32_t write_us;      /* the same of write, pwrite and ftruncate */
    int32_t write_errno;
    uint64_t refused;      /* calls that were */
    int64_t passed_ns;     /* added to the boot-time clock and to the wall clock: so much time has passed */
};

static volatile struct control none, *control = &none;
static const char *folder = "";

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTY_CONTROL"), *under = getenv("FAULTY_FOLDER");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0 || !under)
        return;
    void *page = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page != MAP_FAILED) {
        folder = under;
        control = page;
    }
}

static int is_meant(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    return n >= 0 && strncmp(path, folder, strlen(folder)) == 0;
}

static int refuses(int fd, int number) {
    if (!number || !is_meant(fd))
        return 0;
    __sync_fetch_and_add(&control->refused, 1);
    errno = number;
    return 1;
}

#define TRUE_ONE(name) \
    static __typeof__(&name) found; \
    if (!found) \
        found = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void takes(int fd, int us) {
    if (us && is_meant(fd))
        usleep(us);
}

#define REFUSABLE(kind, result, name, parameters, ...) \
    result name parameters { \
        TRUE_ONE(name); \
        takes(fd, control->kind##_us); \
        return refuses(fd, control->kind##_errno) ? -1 : found(__VA_ARGS__); \
    }

REFUSABLE(sync, int, fsync, (int fd), fd)
REFUSABLE(sync, int, fdatasync, (int fd), fd)
REFUSABLE(write, ssize_t, write, (int fd, const void *data, size_t n), fd, data, n)
REFUSABLE(write, ssize_t, pwrite, (int fd, const void *data, size_t n, off_t at), fd, data, n, at)
REFUSABLE(write, ssize_t, pwrite64, (int fd, const void *data, size_t n, off64_t at), fd, data, n, at)
REFUSABLE(write, int, ftruncate, (int fd, off_t n), fd, n)
REFUSABLE(write, int, ftruncate64, (int fd, off64_t n), fd, n)

static void add(struct timespec *at, int64_t ns) {
    at->tv_sec += ns / 1000000000;
    at->tv_nsec += ns % 1000000000;
    if (at->tv_nsec < 0 || at->tv_nsec >= 1000000000) {
        int sign = at->tv_nsec < 0 ? -1 : 1;
        at->tv_sec += sign;
        at->tv_nsec -= sign * 1000000000L;
    }
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    TRUE_ONE(clock_gettime);
    int failed = found(clock, at);
    if (!failed && clock == CLOCK_REALTIME)
        add(at, control->step_ns);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_BOOTTIME))
        add(at, control->passed_ns);
    return failed;
}
