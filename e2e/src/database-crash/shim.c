/*
 * What a database process does to the files below CANOPY_SHIM_DIR, written down in order in CANOPY_SHIM_LOG before it is
 * done (fsync: after, naming the point at which it began), so that power-loss.ts can rebuild the directory as a disk may
 * have it after a loss of power. CANOPY_SHIM_BOOT stands in for the kernel's boot id, and while CANOPY_SHIM_FAULT is a
 * file, writes and flushes below the directory fail with the errno in it. Record: "type inode offset length names\n", data.
 */
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
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static const char *root;
static size_t root_length;
/* Descriptors below the directory: 1 a file, 2 a directory. */
static unsigned char mine[65536];


__attribute__((constructor)) static void begin(void) {
  const char *log = getenv("CANOPY_SHIM_LOG");
  root = getenv("CANOPY_SHIM_DIR");
  if (root == NULL || log == NULL) return;
  root_length = strlen(root);
  int fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  /* Out of the way of programs that count on small descriptors. */
  log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 900);
  syscall(SYS_close, fd);
}

static int below(const char *path) {
  return log_fd >= 0 && path != NULL && strncmp(path, root, root_length) == 0 &&
         (path[root_length] == '/' || path[root_length] == 0);
}

static int is_mine(int fd) { return log_fd >= 0 && fd >= 0 && fd < 65536 ? mine[fd] : 0; }

static void lock(void) {
  pthread_mutex_lock(&mutex);
  flock(log_fd, LOCK_EX);
}

static void unlock(void) {
  int kept = errno;
  flock(log_fd, LOCK_UN);
  pthread_mutex_unlock(&mutex);
  errno = kept;
}

static int fault(void) {
  const char *path = getenv("CANOPY_SHIM_FAULT");
  if (path == NULL) return 0;
  int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return 0;
  char text[16] = {0};
  long n = syscall(SYS_read, fd, text, 15);
  syscall(SYS_close, fd);
  return n > 0 ? atoi(text) : 0;
}

static unsigned long inode_of(int fd) {
  struct stat s;
  return fstat(fd, &s) == 0 ? (unsigned long)s.st_ino : 0;
}

/* One write, so that a process that is killed here leaves a whole record or a short last one, which is ignored. */
static void note(const char *type, unsigned long inode, long long offset, const void *data, size_t length, const char *a,
                 const char *b) {
  char line[2 * PATH_MAX + 100];
  int size = snprintf(line, sizeof line, "%s\t%lu\t%lld\t%zu\t%s\t%s\n", type, inode, offset, length, a, b);
  struct iovec parts[2] = {{line, size}, {(void *)data, data == NULL ? 0 : length}};
  syscall(SYS_writev, log_fd, parts, 2);
}

static long long log_end(void) {
  struct stat s;
  return fstat(log_fd, &s) == 0 ? s.st_size : 0;
}

static int open_noted(int at, const char *path, int flags, mode_t mode) {
  static const char boot[] = "/proc/sys/kernel/random/boot_id";
  if (path != NULL && strcmp(path, boot) == 0 && getenv("CANOPY_SHIM_BOOT") != NULL) path = getenv("CANOPY_SHIM_BOOT");
  if (!below(path)) {
    int fd = syscall(SYS_openat, at, path, flags, mode);
    if (fd >= 0 && fd < 65536) mine[fd] = 0;
    return fd;
  }
  lock();
  struct stat s;
  int there = stat(path, &s) == 0;
  int fd = syscall(SYS_openat, at, path, flags, mode);
  if (fd >= 0) {
    fstat(fd, &s);
    if (fd < 65536) mine[fd] = S_ISDIR(s.st_mode) ? 2 : 1;
    if (!S_ISDIR(s.st_mode)) note(there ? "open" : "create", s.st_ino, 0, NULL, 0, path, "");
    if (there && (flags & O_TRUNC)) note("truncate", s.st_ino, 0, NULL, 0, "", "");
  }
  unlock();
  return fd;
}

#define OPEN_MODE(last) \
  mode_t mode = 0; \
  if (flags & (O_CREAT | __O_TMPFILE)) { va_list list; va_start(list, last); mode = va_arg(list, mode_t); va_end(list); }

int open(const char *path, int flags, ...) { OPEN_MODE(flags) return open_noted(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { OPEN_MODE(flags) return open_noted(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { OPEN_MODE(flags) return open_noted(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { OPEN_MODE(flags) return open_noted(at, path, flags, mode); }

int close(int fd) {
  if (fd == log_fd && fd >= 0) return 0;
  if (fd >= 0 && fd < 65536) mine[fd] = 0;
  return syscall(SYS_close, fd);
}

#define REFUSE(fd) \
  int why = fault(); \
  if (why != 0) { errno = why; return -1; }

static ssize_t write_noted(int fd, const struct iovec *parts, int count, long long offset) {
  if (is_mine(fd) != 1) return offset < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, offset, 0);
  REFUSE(fd)
  lock();
  long long at = offset;
  if (at < 0) at = lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
  unsigned long inode = inode_of(fd);
  ssize_t done = 0;
  for (int i = 0; i < count; i++) {
    note("write", inode, at + done, parts[i].iov_base, parts[i].iov_len, "", "");
    done += parts[i].iov_len;
  }
  ssize_t written = offset < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, offset, 0);
  unlock();
  return written;
}

ssize_t write(int fd, const void *data, size_t length) {
  struct iovec part = {(void *)data, length};
  return is_mine(fd) == 1 ? write_noted(fd, &part, 1, -1) : syscall(SYS_write, fd, data, length);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
  struct iovec part = {(void *)data, length};
  return write_noted(fd, &part, 1, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return pwrite(fd, data, length, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) { return write_noted(fd, parts, count, -1); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return write_noted(fd, parts, count, offset); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return write_noted(fd, parts, count, offset); }

int ftruncate(int fd, off_t size) {
  if (is_mine(fd) != 1) return syscall(SYS_ftruncate, fd, size);
  REFUSE(fd)
  lock();
  note("truncate", inode_of(fd), size, NULL, 0, "", "");
  int result = syscall(SYS_ftruncate, fd, size);
  unlock();
  return result;
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

static int sync_noted(int fd, long number) {
  int kind = is_mine(fd);
  if (kind == 0) return syscall(number, fd);
  REFUSE(fd)
  lock();
  long long began = log_end();
  unlock();
  char path[PATH_MAX] = "", link[64];
  if (kind == 2) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n > 0) path[n] = 0;
  }
  /* The disk of this test is its log: flushing the real one would only take time. */
  lock();
  note(kind == 2 ? "syncdir" : "sync", inode_of(fd), began, NULL, 0, path, "");
  unlock();
  return 0;
}
int fsync(int fd) { return sync_noted(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_noted(fd, SYS_fdatasync); }

static int unlink_noted(int at, const char *name, int flags) {
  char whole[PATH_MAX] = "", link[64];
  const char *path = name;
  if (at >= 0 && is_mine(at) == 2 && name[0] != '/') {
    snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    ssize_t n = readlink(link, whole, sizeof whole - 1);
    if (n > 0) {
      snprintf(whole + n, sizeof whole - n, "/%s", name);
      path = whole;
    }
  }
  if (!below(path)) return syscall(SYS_unlinkat, at, name, flags);
  lock();
  note(flags & AT_REMOVEDIR ? "rmdir" : "unlink", 0, 0, NULL, 0, path, "");
  int result = syscall(SYS_unlinkat, at, path, flags);
  unlock();
  return result;
}
int unlink(const char *path) { return unlink_noted(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return unlink_noted(at, path, flags); }
int remove(const char *path) {
  struct stat s;
  return unlink_noted(AT_FDCWD, path, lstat(path, &s) == 0 && S_ISDIR(s.st_mode) ? AT_REMOVEDIR : 0);
}
int rmdir(const char *path) { return unlink_noted(AT_FDCWD, path, AT_REMOVEDIR); }

int rename(const char *from, const char *to) {
  if (!below(from)) return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
  lock();
  note("rename", 0, 0, NULL, 0, from, to);
  int result = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
  unlock();
  return result;
}

int mkdir(const char *path, mode_t mode) {
  if (!below(path)) return syscall(SYS_mkdirat, AT_FDCWD, path, mode);
  lock();
  int result = syscall(SYS_mkdirat, AT_FDCWD, path, mode);
  if (result == 0) note("mkdir", 0, 0, NULL, 0, path, "");
  unlock();
  return result;
}
