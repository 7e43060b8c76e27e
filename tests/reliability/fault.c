/* Makes one system call fail, for tests: preloaded, it stands between a process and its C library.
 *
 * Calls on files below one folder are counted while it is armed.  Before the chosen one is made, it fails
 * with an error, is made by half, the process is killed, or a folder vanishes.  `shim.py` tells the rest.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { COUNT, FAIL, FAIL_WRITES_FROM, HALF, HALF_THEN_FAIL, KILL, VANISH, FAIL_LOCKS };
enum kind { ASKS, READS, CHANGES, FREES };

static atomic_int armed;
static atomic_long made;
static long chosen;
static enum mode mode;
static int code;
static char root[PATH_MAX], doomed[PATH_MAX], hit[PATH_MAX + 64];
static atomic_int hits;
static atomic_int half_made;
static __thread int inside;

/* What a test calls. */

void fault_arm(const char *below, long number, int how, int error, const char *vanishing) {
    snprintf(root, sizeof root, "%s", below);
    snprintf(doomed, sizeof doomed, "%s", vanishing ? vanishing : "");
    chosen = number;
    mode = how;
    code = error;
    hit[0] = 0;
    made = hits = half_made = 0;
    armed = 1;
}

void fault_disarm(void) { armed = 0; }
long fault_made(void) { return made; }
int fault_hits(void) { return hits; }
const char *fault_hit(void) { return hit; }

/* Which file a call is about. */

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk) {
    (void)status, (void)flag, (void)walk;
    return remove(path);
}

static void full_path(int folder, const char *path, char *full) {
    char link[64];
    ssize_t length;
    full[0] = 0;
    if (path && path[0] == '/') {
        snprintf(full, PATH_MAX, "%s", path);
        return;
    }
    if (folder == AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    length = syscall(SYS_readlink, link, full, PATH_MAX - 1);
    full[length > 0 ? length : 0] = 0;
    if (path && path[0] && length > 0)
        snprintf(full + length, PATH_MAX - length, "/%s", path);
}

static int is_below(const char *path) {
    size_t length = strlen(root);
    return !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

/* Returns the error that a call is to fail with; 0 if it is to be made, -1 if by half. */
static int strike(const char *call, enum kind kind, int folder, const char *path) {
    char full[PATH_MAX + 1];
    int error = 0, saved = errno;
    long number;
    if (!armed || inside)
        return 0;
    inside = 1;
    full_path(folder, path, full);
    if (!is_below(full))
        goto done;
    number = ++made;
    if (mode == FAIL_WRITES_FROM && number >= chosen && kind == CHANGES) {
        error = code;
        if (!hit[0])
            snprintf(hit, sizeof hit, "%s %s", call, full);
    } else if (mode == HALF_THEN_FAIL && half_made && kind == CHANGES) {
        half_made = 0;
        error = code;
    } else if (mode == FAIL_LOCKS) {
        if (!strcmp(call, "flock") || !strcmp(call, "lock")) {
            error = code;
            snprintf(hit, sizeof hit, "%s %s", call, full);
        }
    } else if (number == chosen && mode != FAIL_WRITES_FROM) {
        int transfers = !strcmp(call, "write") || !strcmp(call, "pwrite");
        if (mode == FAIL)
            error = code;
        else if (mode == HALF && (transfers || kind == READS))
            error = -1;
        else if ((mode == HALF_THEN_FAIL || mode == KILL) && transfers)
            error = -1;
        else if (mode == KILL)
            kill(getpid(), SIGKILL);
        else if (mode == VANISH) {
            nftw(doomed, remove_one, 16, FTW_DEPTH | FTW_PHYS);
            hits++;
        }
        if (error == -1 && mode == HALF_THEN_FAIL)
            half_made = 1;
        snprintf(hit, sizeof hit, "%s %s", call, full);
    }
    if (error)
        hits++;
done:
    inside = 0;
    errno = saved;
    return error;
}

static size_t half(size_t bytes) { return bytes > 1 ? bytes / 2 : bytes; }

static void after_half(void) {
    if (armed && mode == KILL)
        kill(getpid(), SIGKILL);
}

#define NEXT(name) \
    static __typeof__(name) *next; \
    if (!next) next = (__typeof__(next))dlsym(RTLD_NEXT, #name)

#define FAIL_IF(failure, result) \
    do { int failure_ = (failure); if (failure_ > 0) { errno = failure_; return result; } } while (0)

/* Opening. */

static enum kind open_kind(int flags) { return flags & (O_CREAT | O_TRUNC) ? CHANGES : ASKS; }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; va_start(rest, flags); int bits = va_arg(rest, int); va_end(rest); \
        NEXT(name); \
        FAIL_IF(strike("open", open_kind(flags), AT_FDCWD, path), -1); \
        return next(path, flags, bits); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        va_list rest; va_start(rest, flags); int bits = va_arg(rest, int); va_end(rest); \
        NEXT(name); \
        FAIL_IF(strike("open", open_kind(flags), folder, path), -1); \
        return next(folder, path, flags, bits); \
    }
OPENAT(openat)
OPENAT(openat64)

DIR *opendir(const char *path) {
    NEXT(opendir);
    FAIL_IF(strike("opendir", ASKS, AT_FDCWD, path), NULL);
    return next(path);
}

DIR *fdopendir(int file) {
    NEXT(fdopendir);
    FAIL_IF(strike("fdopendir", ASKS, file, NULL), NULL);
    return next(file);
}

/* Contents. */

ssize_t write(int file, const void *bytes, size_t count) {
    NEXT(write);
    int failure = strike("write", CHANGES, file, NULL);
    FAIL_IF(failure, -1);
    ssize_t written = next(file, bytes, failure < 0 ? half(count) : count);
    if (failure < 0) after_half();
    return written;
}

#define PWRITE(name, offset_type) \
    ssize_t name(int file, const void *bytes, size_t count, offset_type offset) { \
        NEXT(name); \
        int failure = strike("pwrite", CHANGES, file, NULL); \
        FAIL_IF(failure, -1); \
        ssize_t written = next(file, bytes, failure < 0 ? half(count) : count, offset); \
        if (failure < 0) after_half(); \
        return written; \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int file, const struct iovec *pieces, int count) {
    NEXT(writev);
    FAIL_IF(strike("writev", CHANGES, file, NULL), -1);
    return next(file, pieces, count);
}

ssize_t read(int file, void *bytes, size_t count) {
    NEXT(read);
    int failure = strike("read", READS, file, NULL);
    FAIL_IF(failure, -1);
    return next(file, bytes, failure < 0 ? half(count) : count);
}

#define PREAD(name, offset_type) \
    ssize_t name(int file, void *bytes, size_t count, offset_type offset) { \
        NEXT(name); \
        int failure = strike("pread", READS, file, NULL); \
        FAIL_IF(failure, -1); \
        return next(file, bytes, failure < 0 ? half(count) : count, offset); \
    }
PREAD(pread, off_t)
PREAD(pread64, off64_t)

#define MMAP(name, offset_type) \
    void *name(void *at, size_t length, int protection, int flags, int file, offset_type offset) { \
        NEXT(name); \
        if (file >= 0) FAIL_IF(strike("mmap", ASKS, file, NULL), MAP_FAILED); \
        return next(at, length, protection, flags, file, offset); \
    }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

#define TRUNCATE(name, offset_type) \
    int name(int file, offset_type length) { \
        NEXT(name); \
        FAIL_IF(strike("ftruncate", FREES, file, NULL), -1); \
        return next(file, length); \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

/* Of an open file. */

int close(int file) {
    NEXT(close);
    int failure = strike("close", FREES, file, NULL);
    int closed = next(file); /* A close that fails has closed nevertheless. */
    FAIL_IF(failure, -1);
    return closed;
}

#define OF_FILE(name, kind) \
    int name(int file) { \
        NEXT(name); \
        FAIL_IF(strike(#name, kind, file, NULL), -1); \
        return next(file); \
    }
OF_FILE(fsync, CHANGES)
OF_FILE(fdatasync, CHANGES)

int flock(int file, int operation) {
    NEXT(flock);
    FAIL_IF(strike("flock", ASKS, file, NULL), -1);
    return next(file, operation);
}

/* Of what fcntl does, only asking for locks: to give one back cannot fail on a local file system. */
#define FCNTL(name) \
    int name(int file, int command, ...) { \
        va_list rest; va_start(rest, command); void *what = va_arg(rest, void *); va_end(rest); \
        NEXT(name); \
        int asks = command == F_SETLK || command == F_SETLKW || command == F_GETLK; \
        if (asks && ((struct flock *)what)->l_type != F_UNLCK) \
            FAIL_IF(strike("lock", ASKS, file, NULL), -1); \
        return next(file, command, what); \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

int fchown(int file, uid_t user, gid_t group) {
    NEXT(fchown);
    FAIL_IF(strike("fchown", FREES, file, NULL), -1);
    return next(file, user, group);
}

int fchmod(int file, mode_t bits) {
    NEXT(fchmod);
    FAIL_IF(strike("fchmod", FREES, file, NULL), -1);
    return next(file, bits);
}

/* Names. */

int rename(const char *from, const char *to) {
    NEXT(rename);
    FAIL_IF(strike("rename", CHANGES, AT_FDCWD, from), -1);
    return next(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    NEXT(renameat);
    FAIL_IF(strike("rename", CHANGES, from_folder, from), -1);
    return next(from_folder, from, to_folder, to);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    NEXT(renameat2);
    FAIL_IF(strike("renameat2", CHANGES, from_folder, from), -1);
    return next(from_folder, from, to_folder, to, flags);
}

int link(const char *from, const char *to) {
    NEXT(link);
    FAIL_IF(strike("link", CHANGES, AT_FDCWD, to), -1);
    return next(from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    NEXT(linkat);
    FAIL_IF(strike("link", CHANGES, to_folder, to), -1);
    return next(from_folder, from, to_folder, to, flags);
}

int symlink(const char *from, const char *to) {
    NEXT(symlink);
    FAIL_IF(strike("symlink", CHANGES, AT_FDCWD, to), -1);
    return next(from, to);
}

int mkdir(const char *path, mode_t bits) {
    NEXT(mkdir);
    FAIL_IF(strike("mkdir", CHANGES, AT_FDCWD, path), -1);
    return next(path, bits);
}

#define OF_NAME(name) \
    int name(const char *path) { \
        NEXT(name); \
        FAIL_IF(strike(#name, FREES, AT_FDCWD, path), -1); \
        return next(path); \
    }
OF_NAME(unlink)
OF_NAME(rmdir)

int unlinkat(int folder, const char *path, int flags) {
    NEXT(unlinkat);
    FAIL_IF(strike("unlinkat", FREES, folder, path), -1);
    return next(folder, path, flags);
}

/* What is there. */

#define STAT(name, status_type) \
    int name(const char *path, status_type *status) { \
        NEXT(name); \
        FAIL_IF(strike("stat", ASKS, AT_FDCWD, path), -1); \
        return next(path, status); \
    }
STAT(stat, struct stat)
STAT(stat64, struct stat64)
STAT(lstat, struct stat)
STAT(lstat64, struct stat64)

#define FSTAT(name, status_type) \
    int name(int file, status_type *status) { \
        NEXT(name); \
        FAIL_IF(strike("fstat", ASKS, file, NULL), -1); \
        return next(file, status); \
    }
FSTAT(fstat, struct stat)
FSTAT(fstat64, struct stat64)

#define FSTATAT(name, status_type) \
    int name(int folder, const char *path, status_type *status, int flags) { \
        NEXT(name); \
        FAIL_IF(strike("stat", ASKS, folder, path), -1); \
        return next(folder, path, status, flags); \
    }
FSTATAT(fstatat, struct stat)
FSTATAT(fstatat64, struct stat64)

int statx(int folder, const char *path, int flags, unsigned mask, struct statx *status) {
    NEXT(statx);
    FAIL_IF(strike("stat", ASKS, folder, path), -1);
    return next(folder, path, flags, mask, status);
}

/* Older programs ask by these names; what they ask is the same. */
int __fxstat64(int version, int file, struct stat64 *status);
int __fxstat64(int version, int file, struct stat64 *status) {
    (void)version;
    return fstat64(file, status);
}

int __xstat64(int version, const char *path, struct stat64 *status);
int __xstat64(int version, const char *path, struct stat64 *status) {
    (void)version;
    return stat64(path, status);
}

int access(const char *path, int what) {
    NEXT(access);
    FAIL_IF(strike("access", ASKS, AT_FDCWD, path), -1);
    return next(path, what);
}
