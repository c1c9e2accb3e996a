/* Stands before the real NVRTC and times it: one line per compilation in $CUDA_STAND_IN_OUT/nvrtc-PID.tsv with the result, the
 * seconds of its thread (so that a busy machine changes nothing), the bytes of source and the kernel's name. $CUDA_STAND_IN_NVRTC is the real library's path. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef int Result;
typedef void *Program;

static void *real(const char *name) {
  static void *library;
  if (!library) library = dlopen(getenv("CUDA_STAND_IN_NVRTC"), RTLD_NOW | RTLD_LOCAL);
  if (!library) { fprintf(stderr, "CUDA_STAND_IN_NVRTC: %s\n", dlerror()); exit(66); }
  return dlsym(library, name);
}
#define PASS(name, parameters, arguments) Result name parameters { Result (*call) parameters = real(#name); return call arguments; }

/* The program that is compiled next: cubecl compiles what it has just created, on one thread per device. */
static __thread struct { char name[256]; size_t bytes; char *source; } current;

Result nvrtcCreateProgram(Program *program, const char *source, const char *name, int count, const char *const *headers, const char *const *names) {
  Result (*call)(Program *, const char *, const char *, int, const char *const *, const char *const *) = real("nvrtcCreateProgram");
  const char *start = strstr(source, "__global__ void");
  current.bytes = strlen(source);
  free(current.source);
  current.source = strdup(source);
  strcpy(current.name, "?");
  if (start) {
    start += strlen("__global__ void");
    const char *bounds = strstr(start, "__launch_bounds__");
    if (bounds && bounds < start + 8) { start = strchr(bounds, ')'); start = start ? start + 1 : bounds; }
    sscanf(start, " %255[A-Za-z0-9_$]", current.name);
  }
  return call(program, source, name, count, headers, names);
}

Result nvrtcCompileProgram(Program program, int count, const char *const *options) {
  Result (*call)(Program, int, const char *const *) = real("nvrtcCompileProgram");
  struct timespec from, to;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
  Result result = call(program, count, options);
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
  const char *folder = getenv("CUDA_STAND_IN_OUT");
  if (!folder) return result;
  char path[4096];
  snprintf(path, sizeof path, "%s/nvrtc-%d.tsv", folder, getpid());
  FILE *file = fopen(path, "a");
  if (!file) return result;
  double seconds = to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9;
  fprintf(file, "%d\t%.3f\t%zu\t%s\n", result, seconds, current.bytes, current.name);
  fclose(file);
  /* The sources that took long, to see why. */
  if (getenv("CUDA_STAND_IN_SOURCES") && seconds > atof(getenv("CUDA_STAND_IN_SOURCES"))) {
    snprintf(path, sizeof path, "%s/%08.3f-%.100s.cu", folder, seconds, current.name);
    if ((file = fopen(path, "w"))) { fputs(current.source, file); fclose(file); }
  }
  return result;
}

PASS(nvrtcDestroyProgram, (Program *program), (program))
PASS(nvrtcGetPTXSize, (Program program, size_t *size), (program, size))
PASS(nvrtcGetPTX, (Program program, char *ptx), (program, ptx))
PASS(nvrtcGetProgramLogSize, (Program program, size_t *size), (program, size))
PASS(nvrtcGetProgramLog, (Program program, char *log), (program, log))
PASS(nvrtcVersion, (int *major, int *minor), (major, minor))
const char *nvrtcGetErrorString(Result result) { const char *(*call)(Result) = real("nvrtcGetErrorString"); return call(result); }
