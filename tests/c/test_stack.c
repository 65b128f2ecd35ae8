/* Tests of src/stack, without Python: toy coroutines.

   Run as `test_stack NAME` for one test of the table at the end, or without
   a name for all.  A failed check ends the process with status 1 and says
   where; 77 means that the test can't be made in this build or system.

   Builds, by macros (tests/test_stack.py makes them all):

   STACK_SCRIBBLE          released stacks are overwritten
   STACK_ARENA_LIMIT=1 ... every limit shrunk, so that rare paths are common
   FAIL_ON_DEMAND          linked with --wrap, so that the n-th call for
                           memory fails for every n */

#define _GNU_SOURCE
#include "stack/arena.h"
#include "stack/stack.h"
#include "stack/tools.h"

#include <errno.h>
#include <fenv.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#if TOOLS_ASAN
#  include <sanitizer/asan_interface.h>
#endif
#if TOOLS_VALGRIND
#  include <valgrind/memcheck.h>
#endif

/* Tools take memory for themselves, and don't bear with the lack of it. */
#define WATCHED (TOOLS_ASAN || TOOLS_VALGRIND)

enum outcome { PASSED = 0, FAILED = 1, SKIPPED = 77 };

#define CHECK(condition)                                                \
    do {                                                                \
        if (!(condition)) {                                             \
            fprintf(stderr, "%s:%d: %s: failed: %s\n", __FILE__,        \
                    __LINE__, __func__, #condition);                    \
            _exit(FAILED);                                              \
        }                                                               \
    } while (0)

#define KIB ((size_t)1024)
#define STACK_SIZE (256 * KIB)

void *registers_across_swap(void **save, void *to, void *value,
                            const uint64_t *in, uint64_t *out);

/* ------------------------------------------------------------------------- */
/* Helpers */

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void
shuffle(stack **array, size_t count, uint64_t seed)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = next_random(&seed) % i;
        stack *s = array[i - 1];

        array[i - 1] = array[j];
        array[j] = s;
    }
}

/* The index-th field of /proc/self/statm, in pages; 0 where there's none.
   0: mapped, 1: resident. */
static size_t
process_pages(int index)
{
    size_t pages[2] = {0, 0};
    FILE *file = fopen("/proc/self/statm", "r");

    if (file != NULL) {
        if (fscanf(file, "%zu %zu", &pages[0], &pages[1]) != 2) {
            pages[0] = pages[1] = 0;
        }
        fclose(file);
    }
    return pages[index];
}

static size_t
resident_bytes(void)
{
    return process_pages(1) * (size_t)sysconf(_SC_PAGESIZE);
}

static size_t
mapping_count(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    size_t count = 0;
    int c;

    while (file != NULL && (c = getc(file)) != EOF) {
        count += c == '\n';
    }
    if (file != NULL) {
        fclose(file);
    }
    return count;
}

/* Lets a test look at what is left on a stack from its last use. */
static void
accept_contents(stack *s)
{
#if TOOLS_VALGRIND
    (void)VALGRIND_MAKE_MEM_DEFINED(s->low, (size_t)(s->high - s->low));
#endif
}

static bool
is_mapped(void *page)
{
    unsigned char resident;

    return mincore(page, 1, (void *)&resident) == 0;
}

/* Runs function(argument) in a child; returns the status of waitpid() and in
   `message` what the child wrote to stderr. */
static int
in_child(void (*function)(void *), void *argument, char *message, size_t size)
{
    int ends[2];
    int status = 0;
    size_t length = 0;
    ssize_t got;
    pid_t child;

    CHECK(pipe(ends) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};

        setrlimit(RLIMIT_CORE, &none);
        dup2(ends[1], 2);
        function(argument);
        _exit(FAILED);
    }
    close(ends[1]);
    while ((got = read(ends[0], message + length, size - 1 - length)) > 0) {
        length += (size_t)got;
    }
    message[length] = 0;
    close(ends[0]);
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

/* A coroutine that hands each value it's resumed with back, plus one. */
typedef struct {
    void *self;
    void *caller;
} counter;

static void
count(void *argument)
{
    counter *c = argument;
    uintptr_t value = 0;

    for (;;) {
        value = (uintptr_t)stack_swap(&c->self, c->caller,
                                      (void *)(value + 1));
    }
}

static void
counter_start(counter *c, void *top)
{
    c->self = stack_prepare(top, count, c);
    CHECK(stack_swap(&c->caller, c->self, NULL) == (void *)1);
}

static void
counter_check(counter *c, uintptr_t value)
{
    void *result = stack_swap(&c->caller, c->self, (void *)value);

    CHECK((uintptr_t)result == value + 1);
}

/* ------------------------------------------------------------------------- */
/* Swapping */

#define WALKERS 50
#define REGISTERS 20

static struct {
    void *sp[WALKERS + 1];          /* the last one is main() */
    uintptr_t sent;
    size_t swaps_left;
    size_t swaps_done;
    uint64_t random;
} walk;

/* Resumes a random coroutine, and then checks that neither the registers nor
   the memory of this one were changed meanwhile. */
static void
step(size_t self, const char *memory, size_t size)
{
    uint64_t in[REGISTERS] = {0};
    uint64_t out[REGISTERS] = {0};
    size_t to = next_random(&walk.random) % WALKERS;
    void *ignored;
    void **save = &walk.sp[self];
    void *value;

    if (to == self) {
        to = (to + 1) % WALKERS;
    }
    if (walk.swaps_left-- == 0) {
        to = WALKERS;
        save = &ignored;
    }
    for (int i = 0; i < REGISTERS - 1; i++) {
        in[i] = next_random(&walk.random);
    }
#if defined(__x86_64__)
    memset(in + 6, 0, sizeof(in) - 6 * sizeof(in[0]));
#endif
    walk.sent = (uintptr_t)next_random(&walk.random);
    walk.swaps_done++;
    value = registers_across_swap(save, walk.sp[to], (void *)walk.sent, in,
                                  out);
    CHECK((uintptr_t)value == walk.sent);
    CHECK(memcmp(in, out, sizeof(in)) == 0);
    for (size_t i = 0; i < size; i++) {
        CHECK(memory[i] == (char)(self + i));
    }
}

/* Swaps at many depths of the stack. */
static void
descend(size_t self, unsigned depth)
{
    char memory[64];

    for (size_t i = 0; i < sizeof(memory); i++) {
        memory[i] = (char)(self + i);
    }
    step(self, memory, sizeof(memory));
    if (depth > 0) {
        descend(self, depth - 1);
    }
    step(self, memory, sizeof(memory));
}

static void
wander(void *argument)
{
    size_t self = (size_t)argument;

    for (;;) {
        descend(self, (unsigned)(next_random(&walk.random) % 30));
    }
}

static enum outcome
swap_keeps_registers_and_memory(void)
{
    stack_pool pool;
    stack *stacks[WALKERS];
    size_t total = 1000 * 1000;

    stack_pool_init(&pool, STACK_SIZE);
    walk.random = 88172645463325252u;
    walk.swaps_left = total;
    for (size_t i = 0; i < WALKERS; i++) {
        stacks[i] = stack_acquire(&pool);
        CHECK(stacks[i] != NULL);
        walk.sp[i] = stack_prepare(stacks[i]->high - 8 * i, wander,
                                   (void *)i);
    }
    stack_swap(&walk.sp[WALKERS], walk.sp[0], NULL);
    CHECK(walk.swaps_done == total + 1);
    for (size_t i = 0; i < WALKERS; i++) {
        stack_release(&pool, stacks[i]);
    }
    stack_pool_fini(&pool);
    return PASSED;
}

static void
round_up(void *argument)
{
    counter *c = argument;

    fesetround(FE_UPWARD);
    stack_swap(&c->self, c->caller, NULL);
}

static enum outcome
swap_leaves_rounding_to_the_thread(void)
{
    stack_pool pool;
    stack *s;
    counter c;

    stack_pool_init(&pool, STACK_SIZE);
    s = stack_acquire(&pool);
    CHECK(s != NULL);
    c.self = stack_prepare(s->high, round_up, &c);
    CHECK(fegetround() == FE_TONEAREST);
    stack_swap(&c.caller, c.self, NULL);
    CHECK(fegetround() == FE_UPWARD);
    fesetround(FE_TONEAREST);
    stack_release(&pool, s);
    stack_pool_fini(&pool);
    return PASSED;
}

static void
look_at_frame(void *argument)
{
    counter *c = argument;
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    char text[64];

    /* Formatting a double uses aligned vector stores somewhere. */
    snprintf(text, sizeof(text), "%.3f", (double)(frame % 16) + 0.5);
    CHECK(strcmp(text, "0.500") == 0);
    stack_swap(&c->self, c->caller, NULL);
}

static enum outcome
prepare_accepts_any_top(void)
{
    stack_pool pool;
    stack *s;

    stack_pool_init(&pool, STACK_SIZE);
    s = stack_acquire(&pool);
    CHECK(s != NULL);
    for (size_t above = 0; above < 80; above++) {
        char *top = s->high - above;
        counter c;

        memset(top, 0x5A, above);
        c.self = stack_prepare(top, look_at_frame, &c);
        CHECK((char *)c.self < top && (char *)c.self > top - 256);
        stack_swap(&c.caller, c.self, NULL);
        for (char *p = top; p < s->high; p++) {
            CHECK(*p == 0x5A);
        }
        tools_open(s);
    }
    stack_release(&pool, s);
    stack_pool_fini(&pool);
    return PASSED;
}

static void
just_return(void *argument)
{
    (void)argument;
}

static void
run_an_entry_that_returns(void *argument)
{
    stack *s = argument;
    void *here;

    stack_swap(&here, stack_prepare(s->high, just_return, NULL), NULL);
}

static enum outcome
entry_that_returns_aborts(void)
{
    stack_pool pool;
    stack *s;
    char message[1000];
    int status;

    stack_pool_init(&pool, STACK_SIZE);
    s = stack_acquire(&pool);
    CHECK(s != NULL);
    status = in_child(run_an_entry_that_returns, s, message, sizeof(message));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(strstr(message, "entry function") != NULL);
    stack_release(&pool, s);
    stack_pool_fini(&pool);
    return PASSED;
}

static _Unwind_Reason_Code
note_frame(struct _Unwind_Context *context, void *argument)
{
    uintptr_t *frames = argument;

    if (frames[0] < 50) {
        frames[0]++;
        frames[frames[0]] = _Unwind_GetIP(context);
    }
    return _URC_NO_REASON;
}

static void
unwind_here(void *argument)
{
    counter *c = argument;
    uintptr_t frames[51] = {0};
    _Unwind_Reason_Code reason = _Unwind_Backtrace(note_frame, frames);

    /* This function and the first frame; a sanitizer may add some. */
    CHECK(reason == _URC_END_OF_STACK);
    CHECK(frames[0] >= 2 && frames[0] <= 5);
    stack_swap(&c->self, c->caller, NULL);
}

static enum outcome
unwinding_ends_at_the_first_frame(void)
{
    stack_pool pool;
    stack *s;
    counter c;

    stack_pool_init(&pool, STACK_SIZE);
    s = stack_acquire(&pool);
    CHECK(s != NULL);
    /* Behind the first frame lies what an unwinder would stumble over. */
    memset(s->high - 256, 0x5A, 256);
    c.self = stack_prepare(s->high - 128, unwind_here, &c);
    stack_swap(&c.caller, c.self, NULL);
    stack_release(&pool, s);
    stack_pool_fini(&pool);
    return PASSED;
}

/* ------------------------------------------------------------------------- */
/* Guards */

static stack *overflowing;
static char *neighbour;

static void
on_overflow(int number, siginfo_t *info, void *context)
{
    char *address = info->si_addr;

    if (number == SIGSEGV && address < overflowing->low
        && address >= overflowing->low - STACK_GUARD_SIZE
        && (neighbour == NULL || *neighbour == 0x5A)) {
        _exit(42);
    }
    _exit(43);
}

static int
recurse(unsigned depth)
{
    volatile char memory[1000];

    memory[depth % sizeof(memory)] = (char)depth;
    return depth == UINT_MAX ? 0 : recurse(depth + 1) + memory[0];
}

static void
overflow(void *argument)
{
    recurse(0);
}

static void
overflow_on_stack(void *argument)
{
    static char handler_stack[64 * 1024];
    stack_t alternative = {.ss_sp = handler_stack,
                           .ss_size = sizeof(handler_stack)};
    struct sigaction action = {.sa_sigaction = on_overflow,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK};
    void *here;

    sigaltstack(&alternative, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    stack_swap(&here, stack_prepare(overflowing->high, overflow, NULL), NULL);
}

static void
check_overflow(stack *s, char *below)
{
    char message[1000];
    int status;

    overflowing = s;
    neighbour = below;
    status = in_child(overflow_on_stack, NULL, message, sizeof(message));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

static enum outcome
overflow_guarded_by(bool mprotect_only)
{
    stack_pool pool;
    stack *stacks[8];

    stack_pool_init(&pool, STACK_SIZE);
    pool.guard = mprotect_only ? STACK_GUARD_MPROTECT : STACK_GUARD_UNKNOWN;
    for (int i = 0; i < 8; i++) {
        stacks[i] = stack_acquire(&pool);
        CHECK(stacks[i] != NULL);
        stacks[i]->high[-1] = 0x5A;
    }
    for (int i = 0; i < 8; i++) {
        bool same = i > 0 && stacks[i]->arena == stacks[i - 1]->arena;

        check_overflow(stacks[i], same ? stacks[i - 1]->high - 1 : NULL);
    }
    /* A guard outlasts what releasing and trimming do to the pages. */
    for (int i = 1; i < 8; i++) {
        stack_release(&pool, stacks[i]);
    }
    stack_pool_trim(&pool);
    check_overflow(stacks[0], NULL);
    stack_release(&pool, stacks[0]);
    stacks[0] = stack_acquire(&pool);
    CHECK(stacks[0] != NULL);
    check_overflow(stacks[0], NULL);
    stack_release(&pool, stacks[0]);
    stack_pool_fini(&pool);
    return PASSED;
}

static enum outcome
overflow_hits_guard(void)
{
    return overflow_guarded_by(false);
}

static enum outcome
overflow_hits_guard_of_mprotect(void)
{
    return overflow_guarded_by(true);
}

/* ------------------------------------------------------------------------- */
/* Pools */

static enum outcome
init_rounds_size_up(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t sizes[] = {0, 1, page - 1, page, page + 1, 8192 * KIB};
    size_t pages[] = {1, 1, 1, 1, 2, 8192 * KIB / page};

    for (int i = 0; i < 6; i++) {
        stack_pool pool;
        stack *s;

        stack_pool_init(&pool, sizes[i]);
        s = stack_acquire(&pool);
        CHECK(s != NULL);
        CHECK((size_t)(s->high - s->low) == pages[i] * page);
        stack_release(&pool, s);
        stack_pool_fini(&pool);
    }
    return PASSED;
}

static enum outcome
init_survives_absurd_size(void)
{
    size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2, SIZE_MAX / 4,
                      SIZE_MAX / 256, (size_t)1 << 50};

    for (int i = 0; i < 6; i++) {
        stack_pool pool;

        stack_pool_init(&pool, sizes[i]);
        errno = 0;
        CHECK(stack_acquire(&pool) == NULL);
        CHECK(errno == ENOMEM);
        stack_pool_trim(&pool);
        stack_pool_fini(&pool);
    }
    return PASSED;
}

static int
compare_stacks(const void *a, const void *b)
{
    const stack *left = *(stack *const *)a;
    const stack *right = *(stack *const *)b;

    return left->low < right->low ? -1 : left->low > right->low;
}

static enum outcome
acquire_gives_stacks_apart(void)
{
    enum { COUNT = 700 };
    stack_pool pool;
    stack *stacks[COUNT];

    stack_pool_init(&pool, STACK_SIZE);
    for (int i = 0; i < COUNT; i++) {
        stacks[i] = stack_acquire(&pool);
        CHECK(stacks[i] != NULL && stack_check(stacks[i]));
        stacks[i]->low[0] = 1;
        stacks[i]->high[-1] = 1;
    }
    qsort(stacks, COUNT, sizeof(stacks[0]), compare_stacks);
    for (int i = 0; i < COUNT; i++) {
        CHECK(stacks[i]->low + STACK_SIZE == stacks[i]->high);
        CHECK(i == 0
              || stacks[i - 1]->high + STACK_GUARD_SIZE <= stacks[i]->low);
        stack_release(&pool, stacks[i]);
    }
    stack_pool_fini(&pool);
    return PASSED;
}

static enum outcome
acquire_reuses_last_released(void)
{
    enum { COUNT = 3000 };
    static stack *stacks[COUNT];
    stack_pool pool;

    stack_pool_init(&pool, 16 * KIB);
    for (int i = 0; i < COUNT; i++) {
        stacks[i] = stack_acquire(&pool);
        CHECK(stacks[i] != NULL);
    }
    for (uint64_t round = 1; round <= 5; round++) {
        shuffle(stacks, COUNT, round);
        for (int i = 0; i < COUNT; i++) {
            stack_release(&pool, stacks[i]);
            /* The one just released comes first, and as often as asked. */
            CHECK(stack_acquire(&pool) == stacks[i]);
            stack_release(&pool, stacks[i]);
        }
        for (int i = COUNT - 1; i >= 0; i--) {
            CHECK(stack_acquire(&pool) == stacks[i]);
        }
    }
    CHECK(pool.total < 2 * COUNT + 256);
    for (int i = 0; i < COUNT; i++) {
        stack_release(&pool, stacks[i]);
    }
    stack_pool_fini(&pool);
    return PASSED;
}

/* Random acquiring, releasing and trimming, compared with a plain model. */
static enum outcome
pool_survives_random_use(void)
{
    enum { COUNT = 1500 };
    static stack *live[COUNT];
    size_t live_count = 0;
    uint64_t random = 42;
    stack_pool pool;

    stack_pool_init(&pool, 16 * KIB);
    for (int i = 0; i < 200000; i++) {
        uint64_t dice = next_random(&random);
        /* Tides, so that the number of live stacks rises and falls. */
        bool rising = i / 2500 % 2 == 0;

        if (dice % 5000 == 0) {
            stack_pool_trim(&pool);
        }
        else if ((dice % 10 < 7) == rising && live_count < COUNT) {
            stack *s = stack_acquire(&pool);

            CHECK(s != NULL && stack_check(s));
            memcpy(s->high - sizeof(s), &s, sizeof(s));
            live[live_count++] = s;
        }
        else if (live_count > 0) {
            size_t j = dice / 10 % live_count;
            stack *s = live[j];

            CHECK(memcmp(s->high - sizeof(s), &s, sizeof(s)) == 0);
            live[j] = live[--live_count];
            stack_release(&pool, s);
        }
        CHECK(pool.live == live_count);
    }
    while (live_count > 0) {
        stack_release(&pool, live[--live_count]);
    }
    stack_pool_trim(&pool);
    CHECK(pool.total == 0 && pool.arenas == NULL);
    stack_pool_fini(&pool);
    return PASSED;
}

static enum outcome
acquire_many(size_t total, size_t size)
{
    stack **stacks = calloc(total, sizeof(stacks[0]));
    counter *counters = calloc(total, sizeof(counters[0]));
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t resident;
    size_t got;
    stack_pool pool;

    CHECK(stacks != NULL && counters != NULL);
    memset(stacks, 1, total * sizeof(stacks[0]));
    memset(counters, 1, total * sizeof(counters[0]));
    stack_pool_init(&pool, size);
    resident = resident_bytes();
    for (got = 0; got < total; got++) {
        stacks[got] = stack_acquire(&pool);
        if (stacks[got] == NULL) {
            break;
        }
        counter_start(&counters[got], stacks[got]->high);
    }
    /* Only kernels without light guards may run out. */
    CHECK(got == total || pool.guard == STACK_GUARD_MPROTECT);
    resident = resident_bytes() - resident;
#if !WATCHED && defined(__linux__)
    if (pool.guard == STACK_GUARD_LIGHT && mapping_count() > 0) {
        CHECK(resident / total < 2 * page);
        CHECK(mapping_count() < total / 50 + 100);
    }
#endif
    for (size_t i = 0; i < got; i++) {
        counter_check(&counters[i], i);
    }
    for (size_t i = 0; i < got; i++) {
        stack_release(&pool, stacks[i]);
    }
    stack_pool_fini(&pool);
    free(counters);
    free(stacks);
    (void)page;
    (void)resident;
    return got == total ? PASSED : SKIPPED;
}

static enum outcome
acquire_gives_100000_stacks(void)
{
    return acquire_many(WATCHED ? 1000 : 100 * 1000, STACK_SIZE);
}

static enum outcome
acquire_gives_10000_large_stacks(void)
{
    return acquire_many(WATCHED ? 10 : 10 * 1000, 8192 * KIB);
}

static enum outcome
release_keeps_errno(void)
{
    enum { COUNT = 1300 };
    stack_pool pool;
    static stack *stacks[COUNT];

    stack_pool_init(&pool, 16 * KIB);
    for (int i = 0; i < COUNT; i++) {
        stacks[i] = stack_acquire(&pool);
        CHECK(stacks[i] != NULL);
    }
    errno = EDOM;
    for (int i = 0; i < COUNT; i++) {
        stack_release(&pool, stacks[i]);
        CHECK(errno == EDOM);
    }
    stack_pool_trim(&pool);
    stack_pool_fini(&pool);
    CHECK(errno == EDOM);
    return PASSED;
}

static enum outcome
release_scribbles(void)
{
#ifdef STACK_SCRIBBLE
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    stack_pool pool;
    stack *s;

    stack_pool_init(&pool, STACK_SIZE);
    s = stack_acquire(&pool);
    CHECK(s != NULL);
    s->high[-1] = 1;
    s->low[page] = 1;
    stack_release(&pool, s);
    CHECK(stack_acquire(&pool) == s);
    accept_contents(s);
    CHECK(s->high[-1] == (char)0xDB);
    CHECK(s->high[-(ptrdiff_t)page] == (char)0xDB);
    CHECK(s->low[page] == (char)0xDB);
    CHECK(s->low[3 * page] == 0);
    stack_release(&pool, s);
    stack_pool_fini(&pool);
    return PASSED;
#else
    return SKIPPED;
#endif
}

/* ------------------------------------------------------------------------- */
/* Misuse, caught by assertions */

#ifndef NDEBUG
static stack_pool misused;

static void
release_twice(void *argument)
{
    stack_release(&misused, argument);
    stack_release(&misused, argument);
}

static void
release_elsewhere(void *argument)
{
    stack_pool other;

    stack_pool_init(&other, STACK_SIZE);
    stack_release(&other, argument);
}

static void
release_argument(void *argument)
{
    stack_release(&misused, argument);
}

static void
release_own_stack(void *argument)
{
    stack *s = argument;
    void *here;

    stack_swap(&here, stack_prepare(s->high, release_argument, s), NULL);
}
#endif

static enum outcome
release_refuses_misuse(void)
{
#ifndef NDEBUG
    void (*misuses[])(void *) = {release_twice, release_elsewhere,
                                 release_own_stack};
    stack *s;

    stack_pool_init(&misused, STACK_SIZE);
    s = stack_acquire(&misused);
    CHECK(s != NULL);
    for (int i = 0; i < 3; i++) {
        char message[1000];
        int status = in_child(misuses[i], s, message, sizeof(message));

        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CHECK(strstr(message, "ssertion") != NULL);
    }
    stack_release(&misused, s);
    stack_pool_fini(&misused);
    return PASSED;
#else
    return SKIPPED;
#endif
}

/* ------------------------------------------------------------------------- */
/* Tools */

#if TOOLS_ASAN
static void
look_at_stack(void *argument)
{
    stack *s = argument;

    _exit(*(volatile char *)(s->high - KIB) != 0);
}

/* Whether AddressSanitizer takes an address on the running stack for one. */
static bool
stack_is_known(void)
{
    char name[100];
    char local;
    void *start;
    size_t size;
    const char *kind = __asan_locate_address(&local, name, sizeof(name),
                                             &start, &size);

    return strcmp(kind, "stack") == 0;
}

static void
come_and_go(void *argument)
{
    counter *c = argument;
    void *mark;

    tools_arrive(NULL);
    CHECK(stack_is_known());
    tools_leave(&mark, NULL);
    stack_swap(&c->self, c->caller, NULL);
    tools_arrive(&mark);
    CHECK(stack_is_known());
    tools_leave(NULL, NULL);
    stack_swap(&c->self, c->caller, NULL);
}

static void
come_and_go_twice(stack *s)
{
    void *mark;
    counter c;

    c.self = stack_prepare(s->high, come_and_go, &c);
    for (int i = 0; i < 2; i++) {
        tools_leave(&mark, s);
        stack_swap(&c.caller, c.self, NULL);
        tools_arrive(&mark);
        CHECK(stack_is_known());
    }
}
#endif

static enum outcome
tools_know_what_runs(void)
{
#if TOOLS_ASAN
    stack_pool pool;
    stack *s;

    stack_pool_init(&pool, STACK_SIZE);
    s = stack_acquire(&pool);
    CHECK(s != NULL);
    come_and_go_twice(s);
    come_and_go_twice(s);
    stack_release(&pool, s);
    stack_pool_fini(&pool);
    return PASSED;
#else
    return SKIPPED;
#endif
}

static enum outcome
tools_catch_use_of_free_stacks(void)
{
#if TOOLS_ASAN
    stack_pool pool;
    stack *s;
    char message[1000];
    int status;

    stack_pool_init(&pool, STACK_SIZE);
    s = stack_acquire(&pool);
    CHECK(s != NULL);
    status = in_child(look_at_stack, s, message, sizeof(message));
    CHECK(status == 0);
    stack_release(&pool, s);
    status = in_child(look_at_stack, s, message, sizeof(message));
    CHECK(status != 0 && strstr(message, "use-after-poison") != NULL);
    CHECK(stack_acquire(&pool) == s);
    status = in_child(look_at_stack, s, message, sizeof(message));
    CHECK(status == 0);
    stack_release(&pool, s);
    stack_pool_fini(&pool);
    return PASSED;
#else
    return SKIPPED;
#endif
}

/* ------------------------------------------------------------------------- */
/* Memory */

/* Acquires `total` stacks and touches `touched` bytes of each.  Returns by
   how many bytes the process grew. */
static size_t
fill(stack_pool *pool, stack **stacks, size_t total, size_t touched)
{
    size_t before = resident_bytes();

    for (size_t i = 0; i < total; i++) {
        stacks[i] = stack_acquire(pool);
        CHECK(stacks[i] != NULL);
        memset(stacks[i]->high - touched, 1, touched);
    }
    return resident_bytes() - before;
}

static enum outcome
release_gives_most_memory_back(void)
{
    enum { COUNT = 2000 };
    static stack *stacks[COUNT];
    size_t start = resident_bytes();
    size_t grown;
    stack_pool pool;

    if (WATCHED || start == 0) {
        return SKIPPED;
    }
    stack_pool_init(&pool, STACK_SIZE);
    grown = fill(&pool, stacks, COUNT, 64 * KIB);
    CHECK(grown >= COUNT * 60 * KIB);
    for (int i = 0; i < COUNT; i++) {
        stack_release(&pool, stacks[i]);
    }
    CHECK(resident_bytes() < start + grown / 4);
    stack_pool_fini(&pool);
    return PASSED;
}

static enum outcome
release_keeps_the_top_of_warm_stacks(void)
{
#ifndef STACK_WARM_LIMIT
    enum { COUNT = 2000, HOT = 64, WARM = 1024 };
    static stack *stacks[COUNT];
    stack_pool pool;

    stack_pool_init(&pool, STACK_SIZE);
    fill(&pool, stacks, COUNT, 64 * KIB);
    for (int i = 0; i < COUNT; i++) {
        stack_release(&pool, stacks[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        stack *s = stack_acquire(&pool);
        bool hot = i < HOT;
        bool warm = i < HOT + WARM;

        accept_contents(s);
        CHECK(s == stacks[COUNT - 1 - i]);
        CHECK((s->high[-1] != 0) == warm);
        CHECK((s->high[-(ptrdiff_t)(32 * KIB)] != 0) == hot);
    }
    for (int i = 0; i < COUNT; i++) {
        stack_release(&pool, stacks[i]);
    }
    stack_pool_fini(&pool);
    return PASSED;
#else
    return SKIPPED;
#endif
}

static enum outcome
trim_gives_memory_back(void)
{
    enum { COUNT = 1000 };
    static stack *stacks[COUNT];
    size_t start = resident_bytes();
    size_t grown;
    size_t mapped;
    stack_pool pool;
    counter c;

    if (WATCHED || start == 0) {
        return SKIPPED;
    }
    stack_pool_init(&pool, STACK_SIZE);
    mapped = process_pages(0);
    grown = fill(&pool, stacks, COUNT, 64 * KIB);
    CHECK(grown >= COUNT * 60 * KIB);
    /* One stays in use, in an arena that is large in most builds. */
    counter_start(&c, stacks[COUNT - 1]->high);
    for (int i = 0; i < COUNT - 1; i++) {
        stack_release(&pool, stacks[i]);
    }
    stack_pool_trim(&pool);
    stack_pool_trim(&pool);
    CHECK(resident_bytes() < start + grown / 20);
    counter_check(&c, 7);

    /* What was trimmed can be used again. */
    fill(&pool, stacks, COUNT - 1, 64 * KIB);
    counter_check(&c, 8);
    for (int i = 0; i < COUNT; i++) {
        stack_release(&pool, stacks[i]);
    }
    stack_pool_trim(&pool);
    CHECK(pool.total == 0);
    CHECK(process_pages(0) < mapped + COUNT);
    stack_pool_fini(&pool);
    return PASSED;
}

static enum outcome
fini_unmaps_arenas(void)
{
    enum { COUNT = 600 };
    stack *stacks[COUNT];
    char *lows[COUNT];
    stack_pool pool;

    stack_pool_init(&pool, STACK_SIZE);
    fill(&pool, stacks, COUNT, 4 * KIB);
    for (int i = 0; i < COUNT; i++) {
        lows[i] = stacks[i]->low;
        CHECK(is_mapped(lows[i]));
        stack_release(&pool, stacks[i]);
    }
    stack_pool_fini(&pool);
    for (int i = 0; i < COUNT; i++) {
        CHECK(!is_mapped(lows[i]));
    }
    /* An empty pool is as good as new. */
    fill(&pool, stacks, 10, 4 * KIB);
    for (int i = 0; i < 10; i++) {
        stack_release(&pool, stacks[i]);
    }
    stack_pool_fini(&pool);
    return PASSED;
}

static enum outcome
fini_keeps_live_stacks(void)
{
    enum { COUNT = 300 };
    static stack *stacks[COUNT];    /* static: not a leak to sanitizers */
    stack_pool pool;
    counter c;

    stack_pool_init(&pool, STACK_SIZE);
    fill(&pool, stacks, COUNT, 4 * KIB);
    counter_start(&c, stacks[100]->high);
    for (int i = 0; i < COUNT; i++) {
        if (i != 100) {
            stack_release(&pool, stacks[i]);
        }
    }
    stack_pool_fini(&pool);
    memset(&pool, 0xDB, sizeof(pool));
    counter_check(&c, 3);
    CHECK(stack_check(stacks[100]));
    return PASSED;
}

/* Acquires until there are no more stacks; returns how many there were. */
static size_t
exhaust(stack_pool *pool, stack **stacks, size_t limit)
{
    for (size_t i = 0; i < limit; i++) {
        errno = 0;
        stacks[i] = stack_acquire(pool);
        if (stacks[i] == NULL) {
            CHECK(errno == ENOMEM);
            return i;
        }
        stacks[i]->high[-1] = 1;
    }
    return limit;
}

static enum outcome
acquire_fails_without_address_space(void)
{
    enum { LIMIT = 10000 };
    static stack *stacks[LIMIT];
    struct rlimit limit;
    struct rlimit low;
    size_t mapped = process_pages(0) * (size_t)sysconf(_SC_PAGESIZE);
    size_t got;
    stack_pool pool;

    if (WATCHED || mapped == 0) {
        return SKIPPED;
    }
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    low = limit;
    low.rlim_cur = mapped + 64 * 1024 * KIB;
    CHECK(setrlimit(RLIMIT_AS, &low) == 0);
    if (mmap(NULL, 256 * 1024 * KIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
             -1, 0) != MAP_FAILED) {
        return SKIPPED;         /* an emulator that ignores the limit */
    }
    stack_pool_init(&pool, STACK_SIZE);
    got = exhaust(&pool, stacks, LIMIT);
    /* Nearly all that fits, and there's nothing more to be had. */
    CHECK(got > 100 && got < LIMIT);
    CHECK(stack_acquire(&pool) == NULL);

    /* One out, one in. */
    stack_release(&pool, stacks[got / 2]);
    CHECK(stack_acquire(&pool) == stacks[got / 2]);
    CHECK(stack_acquire(&pool) == NULL);

    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    for (size_t i = got; i < got + 500; i++) {
        stacks[i] = stack_acquire(&pool);
        CHECK(stacks[i] != NULL);
    }
    for (size_t i = 0; i < got + 500; i++) {
        stack_release(&pool, stacks[i]);
    }
    stack_pool_fini(&pool);
    return PASSED;
}

/* mprotect() splits mappings, of which the kernel allows so many. */
static enum outcome
acquire_fails_without_mappings(void)
{
    enum { LIMIT = 100 * 1000 };
    stack **stacks;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    size_t max_count = 0;
    size_t got;
    stack_pool pool;
    counter c;

    if (file != NULL) {
        if (fscanf(file, "%zu", &max_count) != 1) {
            max_count = 0;
        }
        fclose(file);
    }
    if (WATCHED || max_count == 0 || max_count >= LIMIT) {
        return SKIPPED;
    }
    stacks = calloc(LIMIT, sizeof(stacks[0]));
    CHECK(stacks != NULL);
    stack_pool_init(&pool, 16 * KIB);
    pool.guard = STACK_GUARD_MPROTECT;
    got = exhaust(&pool, stacks, LIMIT);
    CHECK(got > max_count / 4 && got < max_count);
    CHECK(stack_acquire(&pool) == NULL);
    stack_release(&pool, stacks[got / 2]);
    CHECK(stack_acquire(&pool) == stacks[got / 2]);
    counter_start(&c, stacks[got - 1]->high);
    counter_check(&c, 1);

    for (size_t i = 0; i < got; i++) {
        stack_release(&pool, stacks[i]);
    }
    stack_pool_fini(&pool);
    CHECK(mapping_count() < max_count / 10);
    CHECK(exhaust(&pool, stacks, 100) == 100);
    for (size_t i = 0; i < 100; i++) {
        stack_release(&pool, stacks[i]);
    }
    stack_pool_fini(&pool);
    free(stacks);
    return PASSED;
}

/* ------------------------------------------------------------------------- */
/* Failures on demand */

#ifdef FAIL_ON_DEMAND
static long calls_until_failure = -1;       /* -1: never */
static bool old_kernel;

static bool
fails_now(void)
{
    return calls_until_failure >= 0 && calls_until_failure-- == 0;
}

void *__real_calloc(size_t count, size_t size);
void *__real_mmap(void *address, size_t size, int protection, int flags,
                  int file, off_t offset);
int __real_munmap(void *address, size_t size);
int __real_mprotect(void *address, size_t size, int protection);
int __real_madvise(void *address, size_t size, int advice);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_mmap(void *address, size_t size, int protection, int flags,
                  int file, off_t offset);
int __wrap_munmap(void *address, size_t size);
int __wrap_mprotect(void *address, size_t size, int protection);
int __wrap_madvise(void *address, size_t size, int advice);

void *
__wrap_calloc(size_t count, size_t size)
{
    if (fails_now()) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_calloc(count, size);
}

void *
__wrap_mmap(void *address, size_t size, int protection, int flags, int file,
            off_t offset)
{
    if (fails_now()) {
        errno = EAGAIN;
        return MAP_FAILED;
    }
    return __real_mmap(address, size, protection, flags, file, offset);
}

int
__wrap_munmap(void *address, size_t size)
{
    if (fails_now()) {
        errno = ENOMEM;
        return -1;
    }
    return __real_munmap(address, size);
}

int
__wrap_mprotect(void *address, size_t size, int protection)
{
    if (fails_now()) {
        errno = ENOMEM;
        return -1;
    }
    return __real_mprotect(address, size, protection);
}

int
__wrap_madvise(void *address, size_t size, int advice)
{
    if (old_kernel && advice == 102) {
        errno = EINVAL;
        return -1;
    }
    if (fails_now()) {
        errno = EAGAIN;
        return -1;
    }
    return __real_madvise(address, size, advice);
}

/* Uses a pool while the calls from the n-th on fail: all of them, or one.
   Returns whether there was an n-th call. */
static bool
use_pool_failing_at(long n, bool all)
{
    enum { COUNT = 12 };
    stack *stacks[COUNT] = {NULL};
    stack_pool pool;
    bool reached = false;
    int failures = 0;

    stack_pool_init(&pool, STACK_SIZE);
    calls_until_failure = n;
    for (int i = 0; i < COUNT; i++) {
        errno = 0;
        stacks[i] = stack_acquire(&pool);
        if (stacks[i] == NULL) {
            CHECK(errno == ENOMEM);
            failures++;
        }
        if (all && calls_until_failure < 0) {
            reached = true;
            calls_until_failure = 0;
        }
    }
    CHECK(all || failures <= 1);
#ifndef STACK_ARENA_FIRST
    /* Where a large arena fails, a smaller one is tried. */
    CHECK(all || failures == 0 || pool.guard == STACK_GUARD_MPROTECT);
#endif
    errno = EDOM;
    for (int i = 0; i < COUNT; i += 2) {
        if (stacks[i] != NULL) {
            stack_release(&pool, stacks[i]);
            stacks[i] = NULL;
        }
    }
    stack_pool_trim(&pool);
    CHECK(errno == EDOM);
    reached |= calls_until_failure < 0;
    calls_until_failure = -1;

    /* Now that there's memory again, everything works. */
    for (int i = 0; i < COUNT; i++) {
        counter c;

        if (stacks[i] == NULL) {
            stacks[i] = stack_acquire(&pool);
        }
        CHECK(stacks[i] != NULL);
        counter_start(&c, stacks[i]->high);
        counter_check(&c, 5);
    }
    check_overflow(stacks[COUNT - 1], NULL);
    for (int i = 0; i < COUNT; i++) {
        stack_release(&pool, stacks[i]);
    }
    stack_pool_fini(&pool);
    return reached;
}
#endif

static enum outcome
pool_survives_every_failure(void)
{
#ifdef FAIL_ON_DEMAND
    for (int mode = 0; mode < 4; mode++) {
        long n = 0;

        old_kernel = mode & 1;
        while (use_pool_failing_at(n, mode & 2)) {
            n++;
        }
        CHECK(n > 12);
    }
    return PASSED;
#else
    return SKIPPED;
#endif
}

static enum outcome
acquire_guards_on_old_kernels(void)
{
#ifdef FAIL_ON_DEMAND
    stack_pool pool;
    stack *s;

    old_kernel = true;
    stack_pool_init(&pool, STACK_SIZE);
    s = stack_acquire(&pool);
    CHECK(s != NULL && pool.guard == STACK_GUARD_MPROTECT);
    check_overflow(s, NULL);
    stack_release(&pool, s);
    stack_pool_fini(&pool);
    return PASSED;
#else
    return SKIPPED;
#endif
}

/* ------------------------------------------------------------------------- */
/* Processes and threads */

static void
go_on_in_child(void *argument)
{
    enum { COUNT = 100 };
    void **state = argument;
    stack_pool *pool = state[0];
    stack *stacks[COUNT];

    counter_check(state[1], 9);
    fill(pool, stacks, COUNT, 4 * KIB);
    for (int i = 0; i < COUNT; i++) {
        stack_release(pool, stacks[i]);
    }
    stack_release(pool, state[2]);
    stack_pool_fini(pool);
    _exit(PASSED);
}

static enum outcome
fork_copies_stacks(void)
{
    stack_pool pool;
    stack *s;
    counter c;
    void *state[] = {&pool, &c, NULL};
    char message[1000];

    stack_pool_init(&pool, STACK_SIZE);
    state[2] = s = stack_acquire(&pool);
    CHECK(s != NULL);
    counter_start(&c, s->high);
    CHECK(in_child(go_on_in_child, state, message, sizeof(message)) == 0);
    counter_check(&c, 10);
    stack_release(&pool, s);
    stack_pool_fini(&pool);
    return PASSED;
}

static void *
use_own_pool(void *argument)
{
    enum { COUNT = 100 };
    stack *stacks[COUNT];
    counter counters[COUNT];
    stack_pool pool;

    stack_pool_init(&pool, STACK_SIZE);
    for (uintptr_t round = 0; round < 50; round++) {
        fill(&pool, stacks, COUNT, 4 * KIB);
        for (int i = 0; i < COUNT; i++) {
            counter_start(&counters[i], stacks[i]->high);
        }
        for (uintptr_t i = 0; i < 20 * COUNT; i++) {
            counter_check(&counters[i % COUNT], i);
        }
        for (int i = 0; i < COUNT; i++) {
            stack_release(&pool, stacks[i]);
        }
    }
    stack_pool_fini(&pool);
    return argument;
}

static enum outcome
threads_have_their_own_pools(void)
{
    pthread_t threads[4];

    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, use_own_pool, NULL) == 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    return PASSED;
}

/* ------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum outcome (*run)(void);
} tests[] = {
#define TEST(name) {#name, name}
    TEST(swap_keeps_registers_and_memory),
    TEST(swap_leaves_rounding_to_the_thread),
    TEST(prepare_accepts_any_top),
    TEST(entry_that_returns_aborts),
    TEST(unwinding_ends_at_the_first_frame),
    TEST(overflow_hits_guard),
    TEST(overflow_hits_guard_of_mprotect),
    TEST(init_rounds_size_up),
    TEST(init_survives_absurd_size),
    TEST(acquire_gives_stacks_apart),
    TEST(acquire_reuses_last_released),
    TEST(acquire_gives_100000_stacks),
    TEST(acquire_gives_10000_large_stacks),
    TEST(acquire_fails_without_address_space),
    TEST(acquire_fails_without_mappings),
    TEST(acquire_guards_on_old_kernels),
    TEST(release_keeps_errno),
    TEST(release_scribbles),
    TEST(release_refuses_misuse),
    TEST(tools_know_what_runs),
    TEST(tools_catch_use_of_free_stacks),
    TEST(release_gives_most_memory_back),
    TEST(release_keeps_the_top_of_warm_stacks),
    TEST(trim_gives_memory_back),
    TEST(fini_unmaps_arenas),
    TEST(fini_keeps_live_stacks),
    TEST(pool_survives_random_use),
    TEST(pool_survives_every_failure),
    TEST(fork_copies_stacks),
    TEST(threads_have_their_own_pools),
#undef TEST
};

int
main(int count_of_arguments, char **arguments)
{
    const char *name = count_of_arguments > 1 ? arguments[1] : NULL;
    enum outcome outcome = FAILED;

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        if (name == NULL || strcmp(name, tests[i].name) == 0) {
            outcome = tests[i].run();
            printf("%s %s\n", outcome == PASSED ? "passed" : "skipped",
                   tests[i].name);
            fflush(stdout);
        }
    }
    return name == NULL ? PASSED : (int)outcome;
}
