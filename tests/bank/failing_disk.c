/* Preloaded into a bank, stands between SQLite and the disk. The file that FAILING_DISK names says how the disk fails:
 * "sync fails", "sync hangs" or "full", or how it deceives: "forgets" what is written. Anything else, or no file, is a disk
 * that works. A disk that hangs makes a file with the ending ".hangs" beside it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int disk_is(const char *trouble) {
    char says[32] = "";
    FILE *file = fopen(getenv("FAILING_DISK"), "r");
    if (file) {
        if (!fgets(says, sizeof says, file)) says[0] = 0;
        fclose(file);
    }
    return strcmp(says, trouble) == 0;
}

static int sync_by(const char *name, int fd) {
    if (disk_is("sync hangs")) {
        char marker[4096];
        snprintf(marker, sizeof marker, "%s.hangs", getenv("FAILING_DISK"));
        fclose(fopen(marker, "w"));
        while (disk_is("sync hangs")) usleep(20000);
    }
    if (disk_is("sync fails")) {
        errno = EIO;
        return -1;
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}

int fsync(int fd) { return sync_by("fsync", fd); }
int fdatasync(int fd) { return sync_by("fdatasync", fd); }

static ssize_t write_by(const char *name, int fd, const void *from, size_t count, off_t at) {
    if (disk_is("full")) {
        errno = ENOSPC;
        return -1;
    }
    if (disk_is("forgets")) return count;
    return ((ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, name))(fd, from, count, at);
}

ssize_t pwrite(int fd, const void *from, size_t count, off_t at) { return write_by("pwrite", fd, from, count, at); }
ssize_t pwrite64(int fd, const void *from, size_t count, off_t at) { return write_by("pwrite64", fd, from, count, at); }
