/* LD_PRELOAD: record what a process does to the files below $POWER_CUT_ROOT, for tests/power_cut/disk.py to replay.

   A record is a line "operation\tsize\tnumber\tpath\tother\n" and, after "write", as many bytes. A call of ours is
   recorded after it succeeded. Paths are those of the descriptor at that moment, so a renamed file has its new name. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;

static const char *root(void) { return getenv("POWER_CUT_ROOT"); }

static int below(const char *path) {
    const char *top = root();
    return top && strncmp(path, top, strlen(top)) == 0 && (path[strlen(top)] == '/' || !path[strlen(top)]);
}

static void all(const void *data, size_t size) {
    const char *at = data;
    while (size) {
        ssize_t done = REAL(write)(journal, at, size);
        if (done < 0) { if (errno == EINTR) continue; abort(); }
        at += done; size -= (size_t)done;
    }
}

static void record(const char *operation, size_t size, long long number, const char *path, const char *other,
                   const void *data) {
    char line[3 * PATH_MAX];
    int kept = errno;
    pthread_mutex_lock(&lock);
    if (journal < 0)
        journal = REAL(open64)(getenv("POWER_CUT_JOURNAL"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    all(line, (size_t)snprintf(line, sizeof line, "%s\t%zu\t%lld\t%s\t%s\n", operation, size, number, path, other));
    if (data) all(data, size);
    pthread_mutex_unlock(&lock);
    errno = kept;
}

/* The path of a descriptor, or of a name relative to one; 0 where it is not below the root. */
static int of_descriptor(int descriptor, char *path) {
    char link[64];
    ssize_t size;
    int kept = errno;
    if (!root()) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    size = readlink(link, path, PATH_MAX - 1);
    errno = kept;
    if (size < 0) return 0;
    path[size] = 0;
    return below(path);
}

static int of_name(int folder, const char *name, char *path) {
    if (!root()) return 0;
    if (name[0] == '/') snprintf(path, PATH_MAX, "%s", name);
    else {
        char start[PATH_MAX];
        if (folder == AT_FDCWD) { if (!getcwd(start, sizeof start)) return 0; }
        else { of_descriptor(folder, start); }
        snprintf(path, PATH_MAX, "%.2000s/%.2000s", start, name);
    }
    return below(path);
}

static int opened(int descriptor, int flags) {
    char path[PATH_MAX];
    if (descriptor >= 0 && (flags & (O_CREAT | O_TRUNC)) && of_descriptor(descriptor, path))
        record("open", 0, (flags & O_TRUNC) != 0, path, "", NULL);
    return descriptor;
}

#define MODE(last) mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, last); mode = va_arg(more, mode_t); va_end(more); }
int open(const char *name, int flags, ...) { MODE(flags) return opened(REAL(open)(name, flags, mode), flags); }
int open64(const char *name, int flags, ...) { MODE(flags) return opened(REAL(open64)(name, flags, mode), flags); }
int openat(int at, const char *name, int flags, ...) { MODE(flags) return opened(REAL(openat)(at, name, flags, mode), flags); }
int openat64(int at, const char *name, int flags, ...) { MODE(flags) return opened(REAL(openat64)(at, name, flags, mode), flags); }

static void wrote(int descriptor, const void *data, ssize_t size, off64_t where) {
    char path[PATH_MAX];
    if (size <= 0 || !of_descriptor(descriptor, path)) return;
    record("write", (size_t)size, (long long)where, path, "", data);
}

ssize_t write(int descriptor, const void *data, size_t size) {
    ssize_t done = REAL(write)(descriptor, data, size);
    if (done > 0 && root()) wrote(descriptor, data, done, lseek64(descriptor, 0, SEEK_CUR) - done);
    return done;
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    ssize_t done = REAL(writev)(descriptor, parts, count), left = done;
    off64_t where = done > 0 && root() ? lseek64(descriptor, 0, SEEK_CUR) - done : 0;
    for (int i = 0; i < count && left > 0; i++) {
        ssize_t size = left < (ssize_t)parts[i].iov_len ? left : (ssize_t)parts[i].iov_len;
        wrote(descriptor, parts[i].iov_base, size, where);
        where += size; left -= size;
    }
    return done;
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t where) {
    ssize_t done = REAL(pwrite64)(descriptor, data, size, where);
    wrote(descriptor, data, done, where);
    return done;
}
ssize_t pwrite(int descriptor, const void *data, size_t size, off_t where) { return pwrite64(descriptor, data, size, where); }

/* What moves bytes inside the kernel would not be seen: callers fall back to read and write. */
ssize_t sendfile(int to, int from, off_t *where, size_t size) { (void)to; (void)from; (void)where; (void)size; errno = EINVAL; return -1; }
ssize_t sendfile64(int to, int from, off64_t *where, size_t size) { return sendfile(to, from, where, size); }
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *where, size_t size, unsigned flags) {
    (void)from; (void)at; (void)to; (void)where; (void)size; (void)flags; errno = EXDEV; return -1;
}

static int shortened(int descriptor, long long size, int result) {
    char path[PATH_MAX];
    if (!result && of_descriptor(descriptor, path)) record("truncate", 0, size, path, "", NULL);
    return result;
}
int ftruncate64(int descriptor, off64_t size) { return shortened(descriptor, size, REAL(ftruncate64)(descriptor, size)); }
int ftruncate(int descriptor, off_t size) { return ftruncate64(descriptor, size); }

static int synced(int descriptor, int result) {
    char path[PATH_MAX];
    if (!result && of_descriptor(descriptor, path)) record("sync", 0, 0, path, "", NULL);
    return result;
}
int fsync(int descriptor) { return synced(descriptor, REAL(fsync)(descriptor)); }
int fdatasync(int descriptor) { return synced(descriptor, REAL(fdatasync)(descriptor)); }

static int moved(int at, const char *from, int to_at, const char *to, int result) {
    char old[PATH_MAX], name[PATH_MAX];
    int inside = of_name(at, from, old);
    if (!result && (of_name(to_at, to, name) || inside)) record("rename", 0, 0, old, name, NULL);
    return result;
}
int rename(const char *from, const char *to) { return moved(AT_FDCWD, from, AT_FDCWD, to, REAL(rename)(from, to)); }
int renameat(int at, const char *from, int to_at, const char *to) { return moved(at, from, to_at, to, REAL(renameat)(at, from, to_at, to)); }
int renameat2(int at, const char *from, int to_at, const char *to, unsigned flags) { return moved(at, from, to_at, to, REAL(renameat2)(at, from, to_at, to, flags)); }

static int named(const char *operation, int at, const char *name, int result) {
    char path[PATH_MAX];
    if (!result && of_name(at, name, path)) record(operation, 0, 0, path, "", NULL);
    return result;
}
int unlink(const char *name) { return named("unlink", AT_FDCWD, name, REAL(unlink)(name)); }
int unlinkat(int at, const char *name, int flags) { return named("unlink", at, name, REAL(unlinkat)(at, name, flags)); }
int rmdir(const char *name) { return named("unlink", AT_FDCWD, name, REAL(rmdir)(name)); }
int mkdir(const char *name, mode_t mode) { return named("mkdir", AT_FDCWD, name, REAL(mkdir)(name, mode)); }
int mkdirat(int at, const char *name, mode_t mode) { return named("mkdir", at, name, REAL(mkdirat)(at, name, mode)); }
