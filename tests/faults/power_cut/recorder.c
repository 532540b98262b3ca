/* Preloaded into the agent: records, in its order, all that it asks of its disk, and what it says to others and hears.

   RECORDER_LOG names the file that is written to, RECORDER_FOLDER the folder whose files are meant, RECORDER_CONTROL a
   file of a page; the others are whomever it connects to by TCP. See recording.py, which reads it all.

   What is done and its record are one step (a mutex), so that the process cannot die between them: it is told to die
   by the page, and does so here. A call to make durable is not held up by it and has two records. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPENED = 1, CLOSED, WRITTEN, SIZED, ALLOCATED, SYNCING, SYNCED, RENAMED, UNLINKED, MADE, CONNECTED, SAID, HEARD };
enum { CREATED = 1, EMPTIED = 2 };

struct record {
    uint32_t kind;
    int32_t pid, fd, result; /* of a call to make durable: 0, or -1 */
    int64_t at, length;      /* in the file; of OPENED: `at` is whether it was created or emptied */
    uint64_t bytes;          /* that follow */
};

struct control {
    int64_t dies_after; /* so many calls that change a file, from 1; 0: it lives */
};

static volatile struct control never, *control = &never;
static const char *folder;
static int out = -1;
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static unsigned char is_file[65536], is_socket[65536];

#define TRUE_ONE(name) \
    static __typeof__(&name) found; \
    if (!found) \
        found = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("RECORDER_LOG"), *page = getenv("RECORDER_CONTROL");
    if (!path || !page || !getenv("RECORDER_FOLDER"))
        return;
    int fd = syscall(SYS_openat, AT_FDCWD, page, O_RDWR | O_CLOEXEC, 0);
    void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (mapped != MAP_FAILED)
        control = mapped;
    folder = getenv("RECORDER_FOLDER");
    out = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static int in(const unsigned char *set, int fd) { return out >= 0 && fd >= 0 && fd < 65536 && set[fd]; }

static int is_ours(const char *path) {
    size_t n = folder ? strlen(folder) : 0;
    return out >= 0 && n && !strncmp(path, folder, n) && (path[n] == '/' || !path[n]);
}

static void put(enum kind kind, int fd, int result, int64_t at, int64_t length, const void *data, size_t n) {
    struct record record = {kind, getpid(), fd, result, at, length, n};
    struct iovec parts[] = {{&record, sizeof record}, {(void *)data, n}};
    if (syscall(SYS_writev, out, parts, 2) != (ssize_t)(sizeof record + n))
        abort();
}

/* Before a call that changes a file. */
static void enter(void) {
    pthread_mutex_lock(&one);
    if (control->dies_after && --control->dies_after == 0) {
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }
}

static void leave(void) {
    int number = errno;
    pthread_mutex_unlock(&one);
    errno = number;
}

static int opened(int fd, const char *path, int flags, int was_there) {
    int how = (was_there ? 0 : CREATED) | (flags & O_TRUNC ? EMPTIED : 0);
    if (fd >= 0 && fd < 65536) {
        is_file[fd] = 1;
        is_socket[fd] = 0;
        put(OPENED, fd, 0, how, 0, path + strlen(folder), strlen(path) - strlen(folder));
    }
    return fd;
}

#define OPENING(name) \
    int name(const char *path, int flags, ...) { \
        TRUE_ONE(name); \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more); \
        if (!is_ours(path)) \
            return found(path, flags, mode); \
        enter(); \
        int was_there = !access(path, F_OK), fd = opened(found(path, flags, mode), path, flags, was_there); \
        leave(); \
        return fd; \
    }

OPENING(open)
OPENING(open64)

#define OPENING_AT(name) \
    int name(int under, const char *path, int flags, ...) { \
        TRUE_ONE(name); \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more); \
        if (!is_ours(path)) \
            return found(under, path, flags, mode); \
        enter(); \
        int was_there = !access(path, F_OK), fd = opened(found(under, path, flags, mode), path, flags, was_there); \
        leave(); \
        return fd; \
    }

OPENING_AT(openat)
OPENING_AT(openat64)

int close(int fd) {
    TRUE_ONE(close);
    int noted = in(is_file, fd) || in(is_socket, fd);
    if (!noted)
        return found(fd);
    pthread_mutex_lock(&one);
    put(CLOSED, fd, 0, 0, 0, NULL, 0);
    is_file[fd] = is_socket[fd] = 0;
    int failed = found(fd);
    leave();
    return failed;
}

static ssize_t written(int fd, int64_t at, const void *data, ssize_t n) {
    if (n >= 0)
        put(WRITTEN, fd, 0, at, n, data, n);
    return n;
}

static ssize_t said(int fd, const void *data, ssize_t n) {
    if (n > 0)
        put(SAID, fd, 0, 0, n, data, n);
    return n;
}

static ssize_t heard(int fd, const void *data, ssize_t n) {
    if (n > 0 && in(is_socket, fd)) {
        int number = errno;
        pthread_mutex_lock(&one);
        put(HEARD, fd, 0, 0, n, data, n);
        pthread_mutex_unlock(&one);
        errno = number;
    }
    return n;
}

ssize_t write(int fd, const void *data, size_t n) {
    TRUE_ONE(write);
    ssize_t done;
    if (in(is_file, fd)) {
        enter();
        done = written(fd, lseek(fd, 0, SEEK_CUR), data, found(fd, data, n));
        leave();
    } else if (in(is_socket, fd)) {
        pthread_mutex_lock(&one);
        done = said(fd, data, found(fd, data, n));
        leave();
    } else {
        done = found(fd, data, n);
    }
    return done;
}

#define WRITING(name, offset) \
    ssize_t name(int fd, const void *data, size_t n, offset at) { \
        TRUE_ONE(name); \
        if (!in(is_file, fd)) \
            return found(fd, data, n, at); \
        enter(); \
        ssize_t done = written(fd, at, data, found(fd, data, n, at)); \
        leave(); \
        return done; \
    }

WRITING(pwrite, off_t)
WRITING(pwrite64, off64_t)

/* A call that makes something of a file and says 0 where it is done. */
#define DOING(condition, call, ...) \
    if (!(condition)) \
        return call; \
    enter(); \
    int failed = call; \
    if (!failed) \
        put(__VA_ARGS__); \
    leave(); \
    return failed

#define SIZING(name, offset) \
    int name(int fd, offset length) { \
        TRUE_ONE(name); \
        DOING(in(is_file, fd), found(fd, length), SIZED, fd, 0, 0, length, NULL, 0); \
    }

SIZING(ftruncate, off_t)
SIZING(ftruncate64, off64_t)

#define ALLOCATING(name, offset) \
    int name(int fd, offset at, offset length) { \
        TRUE_ONE(name); \
        DOING(in(is_file, fd), found(fd, at, length), ALLOCATED, fd, 0, at, length, NULL, 0); \
    }

ALLOCATING(posix_fallocate, off_t)
ALLOCATING(posix_fallocate64, off64_t)

#define SYNCHRONISING(name) \
    int name(int fd) { \
        TRUE_ONE(name); \
        if (!in(is_file, fd)) \
            return found(fd); \
        enter(); \
        put(SYNCING, fd, 0, 0, 0, NULL, 0); \
        pthread_mutex_unlock(&one); \
        int failed = found(fd), number = errno; \
        pthread_mutex_lock(&one); \
        put(SYNCED, fd, failed, 0, 0, NULL, 0); \
        pthread_mutex_unlock(&one); \
        errno = number; \
        return failed; \
    }

SYNCHRONISING(fsync)
SYNCHRONISING(fdatasync)

static void moved(enum kind kind, const char *from, const char *to) {
    char names[8192];
    size_t n = strlen(folder);
    int length = snprintf(names, sizeof names, "%s%c%s", from + n, 0, to ? to + n : "");
    put(kind, -1, 0, 0, 0, names, length);
}

static int changed(int failed, enum kind kind, const char *from, const char *to) {
    if (!failed)
        moved(kind, from, to);
    return failed;
}

#define NAMING(condition, call, kind, from, to) \
    if (!(condition)) \
        return call; \
    enter(); \
    int failed = changed(call, kind, from, to); \
    leave(); \
    return failed

int rename(const char *from, const char *to) {
    TRUE_ONE(rename);
    NAMING(is_ours(from) && is_ours(to), found(from, to), RENAMED, from, to);
}

int renameat(int a, const char *from, int b, const char *to) {
    TRUE_ONE(renameat);
    NAMING(is_ours(from) && is_ours(to), found(a, from, b, to), RENAMED, from, to);
}

int unlink(const char *path) {
    TRUE_ONE(unlink);
    NAMING(is_ours(path), found(path), UNLINKED, path, NULL);
}

int unlinkat(int under, const char *path, int flags) {
    TRUE_ONE(unlinkat);
    NAMING(is_ours(path), found(under, path, flags), UNLINKED, path, NULL);
}

int mkdir(const char *path, mode_t mode) {
    TRUE_ONE(mkdir);
    NAMING(is_ours(path), found(path, mode), MADE, path, NULL);
}

int connect(int fd, const struct sockaddr *to, socklen_t n) {
    TRUE_ONE(connect);
    if (out >= 0 && fd >= 0 && fd < 65536 && n >= sizeof(struct sockaddr_in) && to->sa_family == AF_INET) {
        pthread_mutex_lock(&one);
        is_socket[fd] = 1;
        put(CONNECTED, fd, 0, ntohs(((const struct sockaddr_in *)to)->sin_port), 0, NULL, 0);
        pthread_mutex_unlock(&one);
    }
    return found(fd, to, n);
}

static ssize_t joined(const struct iovec *parts, size_t count, ssize_t n, char **data) {
    size_t done = 0, part;
    *data = n > 0 ? malloc(n) : NULL;
    for (size_t i = 0; i < count && n > 0 && done < (size_t)n; i++, done += part) {
        part = parts[i].iov_len < n - done ? parts[i].iov_len : n - done;
        memcpy(*data + done, parts[i].iov_base, part);
    }
    return n;
}

#define SAYING(call, parts, count) \
    if (!in(is_socket, fd)) \
        return call; \
    char *data; \
    pthread_mutex_lock(&one); \
    ssize_t done = joined(parts, count, call, &data); \
    said(fd, data, done); \
    free(data); \
    leave(); \
    return done

ssize_t writev(int fd, const struct iovec *parts, int count) {
    TRUE_ONE(writev);
    SAYING(found(fd, parts, count), parts, count);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    TRUE_ONE(sendmsg);
    SAYING(found(fd, message, flags), message->msg_iov, message->msg_iovlen);
}

ssize_t send(int fd, const void *bytes, size_t n, int flags) {
    TRUE_ONE(send);
    struct iovec part = {(void *)bytes, n};
    SAYING(found(fd, bytes, n, flags), &part, 1);
}

ssize_t read(int fd, void *data, size_t n) {
    TRUE_ONE(read);
    return heard(fd, data, found(fd, data, n));
}

ssize_t recv(int fd, void *data, size_t n, int flags) {
    TRUE_ONE(recv);
    return flags & MSG_PEEK ? found(fd, data, n, flags) : heard(fd, data, found(fd, data, n, flags));
}
