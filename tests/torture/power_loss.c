/* Preloaded into a bank, records what SQLite does to its files: each write with its data, each fsync, and what is made
 * or removed, in the order in which it happened. POWER_LOSS_FILE is the database, POWER_LOSS_LOG the recording, to
 * which a bank that is started again adds. With POWER_LOSS_LIES set, the disk says that it has synced and has not.
 *
 * One mutex is held over each operation and its record, so the order of the records is that of the operations, and what
 * was written before an fsync began stands before it. The time is when the operation began. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum file { NONE, DATABASE, WAL, JOURNAL, DIRECTORY };
enum { DESCRIPTORS = 65536 };

/* As power_loss.py reads it. */
struct record {
    char operation; /* 'c'reate, 'w'rite, 't'runcate, 's'ync, 'u'nlink, or 'l'ie: a sync that was none */
    char file;
    uint16_t unused;
    uint32_t length; /* of the data that follow */
    uint64_t offset; /* of a write; of a truncation, the size */
    uint64_t began;  /* CLOCK_MONOTONIC, nanoseconds */
} __attribute__((packed));

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static char file_of[DESCRIPTORS];

#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

static enum file named(const char *path) {
    const char *database = getenv("POWER_LOSS_FILE");
    size_t length = database ? strlen(database) : 0;
    if (!database || !path) return NONE;
    if (strncmp(path, database, length) == 0) {
        if (strcmp(path + length, "") == 0) return DATABASE;
        if (strcmp(path + length, "-wal") == 0) return WAL;
        if (strcmp(path + length, "-journal") == 0) return JOURNAL;
        return NONE;
    }
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", database);
    return strcmp(path, dirname(copy)) == 0 ? DIRECTORY : NONE;
}

static enum file opened(int fd) { return fd >= 0 && fd < DESCRIPTORS ? file_of[fd] : NONE; }

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void record(char operation, enum file file, uint64_t began, uint64_t offset, const void *data, uint32_t length) {
    static int log = -1;
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    if (log < 0) log = REAL(int, "open64", const char *, int, ...)(getenv("POWER_LOSS_LOG"), flags, 0644);
    struct record head = {operation, file, 0, length, offset, began};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)data, length}};
    /* Without a whole recording nothing is proved. */
    if (writev(log, parts, 2) != (ssize_t)(sizeof head + length)) abort();
}

static int open_by(const char *name, const char *path, int flags, mode_t mode) {
    enum file file = named(path);
    if (file == NONE) {
        int fd = REAL(int, name, const char *, int, ...)(path, flags, mode);
        if (fd >= 0 && fd < DESCRIPTORS) file_of[fd] = NONE;
        return fd;
    }
    pthread_mutex_lock(&order);
    uint64_t began = now();
    int was_there = access(path, F_OK) == 0;
    int fd = REAL(int, name, const char *, int, ...)(path, flags, mode);
    if (fd >= 0 && fd < DESCRIPTORS) {
        file_of[fd] = file;
        if (!was_there) record('c', file, began, 0, NULL, 0);
    }
    pthread_mutex_unlock(&order);
    return fd;
}

#define OPEN(name)                                   \
    int name(const char *path, int flags, ...) {     \
        va_list more;                                \
        va_start(more, flags);                       \
        mode_t mode = va_arg(more, mode_t);          \
        va_end(more);                                \
        return open_by(#name, path, flags, mode);    \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    if (fd >= 0 && fd < DESCRIPTORS) file_of[fd] = NONE;
    return REAL(int, "close", int)(fd);
}

static ssize_t pwrite_by(const char *name, int fd, const void *from, size_t count, off_t at) {
    enum file file = opened(fd);
    if (file == NONE) return REAL(ssize_t, name, int, const void *, size_t, off_t)(fd, from, count, at);
    pthread_mutex_lock(&order);
    uint64_t began = now();
    ssize_t written = REAL(ssize_t, name, int, const void *, size_t, off_t)(fd, from, count, at);
    if (written > 0) record('w', file, began, at, from, written);
    pthread_mutex_unlock(&order);
    return written;
}

ssize_t pwrite(int fd, const void *from, size_t count, off_t at) {
    return pwrite_by("pwrite", fd, from, count, at);
}

ssize_t pwrite64(int fd, const void *from, size_t count, off_t at) {
    return pwrite_by("pwrite64", fd, from, count, at);
}

static int truncate_by(const char *name, int fd, off_t size) {
    enum file file = opened(fd);
    if (file == NONE) return REAL(int, name, int, off_t)(fd, size);
    pthread_mutex_lock(&order);
    uint64_t began = now();
    int outcome = REAL(int, name, int, off_t)(fd, size);
    if (outcome == 0) record('t', file, began, size, NULL, 0);
    pthread_mutex_unlock(&order);
    return outcome;
}

int ftruncate(int fd, off_t size) { return truncate_by("ftruncate", fd, size); }
int ftruncate64(int fd, off_t size) { return truncate_by("ftruncate64", fd, size); }

/* The recording says what is durable. So nothing needs to be, and a real disk costs the run no time. */
static int sync_by(const char *name, int fd) {
    enum file file = opened(fd);
    if (file == NONE) return REAL(int, name, int)(fd);
    pthread_mutex_lock(&order);
    record(getenv("POWER_LOSS_LIES") ? 'l' : 's', file, now(), 0, NULL, 0);
    pthread_mutex_unlock(&order);
    return 0;
}

int fsync(int fd) { return sync_by("fsync", fd); }
int fdatasync(int fd) { return sync_by("fdatasync", fd); }

int unlink(const char *path) {
    enum file file = named(path);
    if (file == NONE) return REAL(int, "unlink", const char *)(path);
    pthread_mutex_lock(&order);
    uint64_t began = now();
    int outcome = REAL(int, "unlink", const char *)(path);
    if (outcome == 0) record('u', file, began, 0, NULL, 0);
    pthread_mutex_unlock(&order);
    return outcome;
}
