/* Stands between a program and libc, and writes down what the program does to the files below one
 * folder: names, writes, truncations, syncs, and what it says on its standard output. Reading is not
 * its business, nor is memory that is mapped: what is written there (the write-ahead index) is made
 * anew after a loss of power and belongs to no file here.
 *
 * One lock around everything, so that the order in the log is the order of the world. Each entry is
 * one write, so that others may write theirs between: what a client has heard.
 *
 * An entry: a byte of kind, then its fields. Numbers are 64 bits in the machine's order, texts and
 * bytes have their length before them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES_MAX 65536
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static int out = -1;
/* Of each open file: its inode, or 0. */
static uint64_t inodes[FILES_MAX];

__attribute__((constructor)) static void start(void) {
    const char *log = getenv("ISONOMY_POWER_LOG");
    const char *folder = getenv("ISONOMY_POWER_FOLDER");
    if (!log || !folder || !realpath(folder, root)) return;
    root_length = strlen(root);
    out = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* What is done to a file and what is written down of it are one: whoever holds the log's own lock ends
 * the program at no moment between them. Speaking is not: nobody may be there to listen. */
static void log_lock(int how) {
    if (out < 0) return;
    while (syscall(SYS_flock, out, how) < 0 && errno == EINTR) {}
}
static void enter(void) {
    pthread_mutex_lock(&lock);
    log_lock(LOCK_EX);
}
static void leave(void) {
    log_lock(LOCK_UN);
    pthread_mutex_unlock(&lock);
}

/* Writing down, under the lock: an entry is put together and written at once. A log that cannot be
 * written ends the program: the test must not pass on half of it. */
static struct iovec parts[8];
static uint64_t numbers[8];
static char kind_put;
static int part_count, number_count;
static void put(const void *bytes, size_t length) {
    parts[part_count++] = (struct iovec){.iov_base = (void *)bytes, .iov_len = length};
}
static void put_number(uint64_t number) {
    numbers[number_count] = number;
    put(&numbers[number_count++], sizeof number);
}
static void put_bytes(const void *bytes, size_t length) {
    put_number(length);
    put(bytes, length);
}
static void put_kind(char kind) {
    part_count = number_count = 0;
    kind_put = kind;
    put(&kind_put, 1);
}
static void put_down(void) {
    size_t length = 0;
    for (int part = 0; part < part_count; part++) length += parts[part].iov_len;
    long done;
    do done = syscall(SYS_writev, out, parts, part_count);
    while (done < 0 && errno == EINTR);
    if (done != (long)length) abort();
}

/* The path within the folder, or NULL. Relative paths are not used by what is recorded here. */
static const char *inside(const char *path) {
    if (out < 0 || strncmp(path, root, root_length) != 0) return NULL;
    if (path[root_length] == 0) return ".";
    return path[root_length] == '/' ? path + root_length + 1 : NULL;
}
static uint64_t inode_of(int file) { return file >= 0 && file < FILES_MAX ? inodes[file] : 0; }

static int opened(int dir, const char *path, int flags, mode_t mode) {
    enter();
    const char *name = inside(path);
    struct stat before, found;
    int existed = name && stat(path, &before) == 0;
    int file = (int)syscall(SYS_openat, dir, path, flags, mode);
    int cause = errno;
    if (file >= 0 && file < FILES_MAX) inodes[file] = 0;
    if (name && file >= 0 && file < FILES_MAX && fstat(file, &found) == 0) {
        inodes[file] = found.st_ino;
        if (!existed) {
            put_kind('c');
            put_number(found.st_ino);
            put_bytes(name, strlen(name));
            put_down();
        } else if ((flags & O_TRUNC) && before.st_size > 0) {
            put_kind('t');
            put_number(found.st_ino);
            put_number(0);
            put_down();
        }
        if (S_ISDIR(found.st_mode)) {
            put_kind('o');
            put_number(found.st_ino);
            put_bytes(name, strlen(name));
            put_down();
        }
    }
    leave();
    errno = cause;
    return file;
}

#define OPEN(name)                                            \
    int name(const char *path, int flags, ...) {              \
        va_list rest;                                         \
        va_start(rest, flags);                                \
        mode_t mode = va_arg(rest, mode_t);                   \
        va_end(rest);                                         \
        return opened(AT_FDCWD, path, flags, mode);           \
    }
OPEN(open)
OPEN(open64)
#define OPENAT(name)                                          \
    int name(int dir, const char *path, int flags, ...) {     \
        va_list rest;                                         \
        va_start(rest, flags);                                \
        mode_t mode = va_arg(rest, mode_t);                   \
        va_end(rest);                                         \
        return opened(dir, path, flags, mode);                \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int file) {
    if (file >= 0 && file < FILES_MAX) inodes[file] = 0;
    return (int)syscall(SYS_close, file);
}

static void wrote(int file, const void *bytes, ssize_t done, off_t at) {
    if (done <= 0 || out < 0) return;
    if (inode_of(file)) {
        put_kind('w');
        put_number(inode_of(file));
        put_number((uint64_t)at);
        put_bytes(bytes, (size_t)done);
        put_down();
    }
}

static ssize_t said(const void *bytes, size_t length) {
    pthread_mutex_lock(&lock);
    ssize_t done = syscall(SYS_write, STDOUT_FILENO, bytes, length);
    int cause = errno;
    if (done > 0 && out >= 0) {
        put_kind('s');
        put_bytes(bytes, (size_t)done);
        put_down();
    }
    pthread_mutex_unlock(&lock);
    errno = cause;
    return done;
}

ssize_t write(int file, const void *bytes, size_t length) {
    if (file != STDOUT_FILENO && !inode_of(file)) return syscall(SYS_write, file, bytes, length);
    if (file == STDOUT_FILENO) return said(bytes, length);
    enter();
    ssize_t done = syscall(SYS_write, file, bytes, length);
    int cause = errno;
    /* Where it was written, also by a file that is appended to. */
    off_t end = lseek(file, 0, SEEK_CUR);
    wrote(file, bytes, done, end - (done > 0 ? done : 0));
    leave();
    errno = cause;
    return done;
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at) {
    if (!inode_of(file)) return syscall(SYS_pwrite64, file, bytes, length, at);
    enter();
    ssize_t done = syscall(SYS_pwrite64, file, bytes, length, at);
    int cause = errno;
    wrote(file, bytes, done, at);
    leave();
    errno = cause;
    return done;
}
ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
    return pwrite64(file, bytes, length, at);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    if (file != STDOUT_FILENO && !inode_of(file)) return syscall(SYS_writev, file, parts, count);
    /* One part at a time is what the caller must expect anyway. */
    return count > 0 ? write(file, parts[0].iov_base, parts[0].iov_len) : 0;
}

static int sized(int file, off64_t length) {
    if (!inode_of(file)) return (int)syscall(SYS_ftruncate, file, length);
    enter();
    int done = (int)syscall(SYS_ftruncate, file, length);
    int cause = errno;
    if (done == 0) {
        put_kind('t');
        put_number(inode_of(file));
        put_number((uint64_t)length);
        put_down();
    }
    leave();
    errno = cause;
    return done;
}
int ftruncate(int file, off_t length) { return sized(file, length); }
int ftruncate64(int file, off64_t length) { return sized(file, length); }

static int synced(int file, long call) {
    if (!inode_of(file)) return (int)syscall(call, file);
    enter();
    int done = (int)syscall(call, file);
    int cause = errno;
    if (done == 0) {
        put_kind('f');
        put_number(inode_of(file));
        put_down();
    }
    leave();
    errno = cause;
    return done;
}
int fsync(int file) { return synced(file, SYS_fsync); }
int fdatasync(int file) { return synced(file, SYS_fdatasync); }

/* Names: a call with one path or two, and what is written down of it. */
static int named(long call, char kind, const char *path, const char *other, mode_t mode) {
    const char *name = inside(path);
    enter();
    int done = call == SYS_renameat  ? (int)syscall(call, AT_FDCWD, path, AT_FDCWD, other)
               : call == SYS_mkdirat ? (int)syscall(call, AT_FDCWD, path, mode)
                                     : (int)syscall(call, AT_FDCWD, path, mode);
    int cause = errno;
    if (done == 0 && name) {
        put_kind(kind);
        put_bytes(name, strlen(name));
        if (other) {
            const char *to = inside(other);
            if (!to) abort();
            put_bytes(to, strlen(to));
        }
        put_down();
    }
    leave();
    errno = cause;
    return done;
}
int rename(const char *from, const char *to) { return named(SYS_renameat, 'r', from, to, 0); }
int unlink(const char *path) { return named(SYS_unlinkat, 'u', path, NULL, 0); }
int mkdir(const char *path, mode_t mode) { return named(SYS_mkdirat, 'm', path, NULL, mode); }

/* Hard links would need a model of their own. */
int link(const char *from, const char *to) {
    (void)to;
    if (inside(from)) abort();
    errno = EPERM;
    return -1;
}
