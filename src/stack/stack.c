/* Pools of C stacks.

   A free stack is in one of three places, and the first that has one gives
   the next stack:

        hot     the STACK_HOT_LIMIT released last, with all their pages: a
                ring, so that a release never costs more than pushing the
                oldest of them out
        cold    those pushed out, the last one first.  STACK_WARM_LIMIT of
                them keep the topmost pages, where a task begins; the others
                have given all pages back
        unused  the rest of the newest arena, never handed out so far

   So stacks are reused strictly last in, first out: what is in the
   processor's cache is used again first.

   Arenas grow with the number of stacks, so that a program of few tasks
   reserves little and one of 100 000 tasks needs few mappings. */

#include "stack.h"
#include "arena.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* Stacks in the first arena and in the largest. */
#ifndef STACK_ARENA_FIRST
#  define STACK_ARENA_FIRST 4
#endif
#ifndef STACK_ARENA_LIMIT
#  define STACK_ARENA_LIMIT 256
#endif

/* No arena of several stacks is larger, nor larger than this part of what
   the process may map (RLIMIT_AS). */
#define ARENA_BYTES_LIMIT ((size_t)1 << 30)
#define ARENA_SHARE 16

/* Cold stacks that keep some bytes, and how many. */
#ifndef STACK_WARM_LIMIT
#  define STACK_WARM_LIMIT 1024
#endif
#define STACK_WARM_BYTES ((size_t)8192)

/* Far more than any system can map, yet nothing computed of it overflows. */
#define STACK_SIZE_LIMIT (SIZE_MAX / 4)

#if defined(__SANITIZE_ADDRESS__)
#  define HAVE_ASAN 1
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer)
#    define HAVE_ASAN 1
#  endif
#endif
#ifndef HAVE_ASAN
#  define HAVE_ASAN 0
#endif
#if HAVE_ASAN
#  include <sanitizer/asan_interface.h>
#endif

/* ------------------------------------------------------------------------- */
/* Invariants */

static size_t
page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

bool
stack_check(const stack *s)
{
    const stack_arena *arena = s->arena;

    assert(s >= arena->stacks && s < arena->stacks + arena->used);
    assert(s->low < s->high);
    assert((uintptr_t)s->low % page_size() == 0);
    assert((uintptr_t)s->high % page_size() == 0);
    assert(s->low - STACK_GUARD_SIZE >= arena->base);
    assert(s->high <= arena->base + arena->bytes);
    assert(!(s->flags & STACK_LIVE) || !(s->flags & STACK_EMPTY));
    assert(!(s->flags & STACK_LIVE) || s->next == NULL);
    assert(!(s->flags & STACK_LIVE) || arena->live > 0);
    (void)arena;
    return true;
}

#ifndef NDEBUG
/* Every stack is live, hot, cold or unused. */
static bool
pool_check(const stack_pool *pool)
{
    const stack_arena *newest = pool->arenas;
    size_t unused = newest == NULL ? 0 : newest->count - newest->used;

    assert(pool->live + pool->hot_count + pool->cold_count + unused
           == pool->total);
    assert(pool->hot_count <= STACK_HOT_LIMIT);
    assert(pool->hot_end < STACK_HOT_LIMIT);
    assert((pool->cold == NULL) == (pool->cold_count == 0));
    return true;
}

/* Whether the calling code runs on `s`. */
static bool
runs_on(const stack *s)
{
    char *here = __builtin_frame_address(0);

    return here >= s->low && here < s->high;
}
#endif

/* ------------------------------------------------------------------------- */
/* Scribbling and sanitizers */

void
stack_unpoison(stack *s)
{
#if HAVE_ASAN
    __asan_unpoison_memory_region(s->low, (size_t)(s->high - s->low));
#endif
}

/* Overwrites the pages in use, so that whoever still looks at them stumbles
   here and now.  Touches no others: tests measure memory.  Testing builds
   only. */
static void
scribble(stack *s)
{
#ifdef STACK_SCRIBBLE
    size_t page = page_size();
    int saved_errno = errno;

    for (char *p = s->low; p < s->high; p += page) {
        unsigned char resident = 0;

        if (mincore(p, page, (void *)&resident) == 0 && (resident & 1)) {
            memset(p, 0xDB, page);
        }
    }
    errno = saved_errno;
#endif
}

/* ------------------------------------------------------------------------- */
/* Free stacks */

/* The hot stack released last, which the caller owns. */
static stack *
pop_hot(stack_pool *pool)
{
    pool->hot_end = (pool->hot_end + STACK_HOT_LIMIT - 1) % STACK_HOT_LIMIT;
    pool->hot_count--;
    return pool->hot[pool->hot_end];
}

static stack *
pop_cold(stack_pool *pool)
{
    stack *s = pool->cold;

    pool->cold = s->next;
    pool->cold_count--;
    s->next = NULL;
    return s;
}

static void
push_cold(stack_pool *pool, stack *s)
{
    bool warm = pool->cold_count < STACK_WARM_LIMIT;

    arena_give_back(s, warm ? STACK_WARM_BYTES : 0);
    s->next = pool->cold;
    pool->cold = s;
    pool->cold_count++;
}

/* Steals `s`; pushes the oldest hot stack out if there are too many. */
static void
push_hot(stack_pool *pool, stack *s)
{
    stack *oldest = NULL;

    if (pool->hot_count == STACK_HOT_LIMIT) {
        oldest = pool->hot[pool->hot_end];
        pool->hot_count--;
    }
    pool->hot[pool->hot_end] = s;
    pool->hot_end = (pool->hot_end + 1) % STACK_HOT_LIMIT;
    pool->hot_count++;
    if (oldest != NULL) {
        push_cold(pool, oldest);
    }
}

/* ------------------------------------------------------------------------- */
/* Unused stacks */

/* How many stacks the next arena should have. */
static size_t
next_arena_count(const stack_pool *pool)
{
    size_t slot = STACK_GUARD_SIZE + pool->size;
    size_t bytes = ARENA_BYTES_LIMIT;
    size_t count = pool->total;
    struct rlimit limit;

    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY
        && limit.rlim_cur / ARENA_SHARE < bytes) {
        bytes = (size_t)limit.rlim_cur / ARENA_SHARE;
    }
    if (count < STACK_ARENA_FIRST) {
        count = STACK_ARENA_FIRST;
    }
    if (count > STACK_ARENA_LIMIT) {
        count = STACK_ARENA_LIMIT;
    }
    if (count > bytes / slot) {
        count = bytes / slot;
    }
    return count == 0 ? 1 : count;
}

/* Adds an arena to a pool without unused stacks; the smaller the less room
   there is.  False with errno = ENOMEM if there's none at all. */
static bool
add_arena(stack_pool *pool)
{
    stack_arena *arena = NULL;

    for (size_t count = next_arena_count(pool); count > 0; count /= 2) {
        arena = arena_new(count, pool->size);
        if (arena != NULL) {
            break;
        }
    }
    if (arena == NULL) {
        return false;
    }
    arena->pool = pool;
    arena->next = pool->arenas;
    pool->arenas = arena;
    pool->total += arena->count;
    return true;
}

/* Returns a stack never used before, which the caller owns, or NULL. */
static stack *
take_unused(stack_pool *pool)
{
    stack_arena *newest = pool->arenas;

    if (newest == NULL || newest->used == newest->count) {
        if (!add_arena(pool)) {
            return NULL;
        }
    }
    return arena_carve(pool->arenas, &pool->guard_by_mprotect);
}

/* ------------------------------------------------------------------------- */
/* Lifecycle */

void
stack_pool_init(stack_pool *pool, size_t size)
{
    size_t page = page_size();

    if (size == 0) {
        size = 1;
    }
    if (size > STACK_SIZE_LIMIT) {
        size = STACK_SIZE_LIMIT;
    }
    memset(pool, 0, sizeof(*pool));
    pool->size = (size + page - 1) / page * page;
    assert(STACK_GUARD_SIZE % page == 0);
    assert(pool_check(pool));
}

/* Drops the free stacks of arenas without live stacks from the pool. */
static void
forget_idle(stack_pool *pool)
{
    size_t hot_count = pool->hot_count;
    size_t from = pool->hot_end + STACK_HOT_LIMIT - hot_count;
    size_t kept = 0;
    stack **link = &pool->cold;

    /* The ring's first place is `from`; keep the order of those that stay. */
    for (size_t i = 0; i < hot_count; i++) {
        stack *s = pool->hot[(from + i) % STACK_HOT_LIMIT];

        if (s->arena->live > 0) {
            pool->hot[(from + kept) % STACK_HOT_LIMIT] = s;
            kept++;
        }
    }
    pool->hot_count = kept;
    pool->hot_end = (from + kept) % STACK_HOT_LIMIT;

    while (*link != NULL) {
        if ((*link)->arena->live > 0) {
            link = &(*link)->next;
        }
        else {
            *link = (*link)->next;
            pool->cold_count--;
        }
    }
}

/* Unmaps the arenas without live stacks. */
static void
free_idle(stack_pool *pool)
{
    stack_arena **link = &pool->arenas;

    forget_idle(pool);
    while (*link != NULL) {
        stack_arena *arena = *link;

        if (arena->live > 0) {
            link = &arena->next;
        }
        else {
            *link = arena->next;
            pool->total -= arena->count;
            arena_free(arena);
        }
    }
}

void
stack_pool_trim(stack_pool *pool)
{
    size_t from;

    assert(pool_check(pool));
    free_idle(pool);
    from = pool->hot_end + STACK_HOT_LIMIT - pool->hot_count;
    for (size_t i = 0; i < pool->hot_count; i++) {
        arena_give_back(pool->hot[(from + i) % STACK_HOT_LIMIT], 0);
    }
    for (stack *s = pool->cold; s != NULL; s = s->next) {
        arena_give_back(s, 0);
    }
    assert(pool_check(pool));
}

void
stack_pool_fini(stack_pool *pool)
{
    assert(pool_check(pool));
    free_idle(pool);
    /* The records of the others go on describing their live stacks. */
    for (stack_arena *arena = pool->arenas; arena != NULL;
         arena = arena->next) {
        arena->pool = NULL;
    }
    stack_pool_init(pool, pool->size);
}

/* ------------------------------------------------------------------------- */
/* Operations */

stack *
stack_acquire(stack_pool *pool)
{
    stack *s;

    assert(pool_check(pool));
    if (pool->hot_count > 0) {
        s = pop_hot(pool);
    }
    else if (pool->cold_count > 0) {
        s = pop_cold(pool);
    }
    else {
        s = take_unused(pool);
        if (s == NULL) {
            return NULL;
        }
    }
    s->flags = STACK_LIVE;
    s->arena->live++;
    pool->live++;
    assert(stack_check(s));
    assert(pool_check(pool));
    return s;
}

void
stack_release(stack_pool *pool, stack *s)
{
    assert(stack_check(s));
    assert(s->flags & STACK_LIVE);
    assert(s->arena->pool == pool);
    assert(!runs_on(s));
    stack_unpoison(s);
    scribble(s);
    s->flags = 0;
    s->arena->live--;
    pool->live--;
    push_hot(pool, s);
    assert(pool_check(pool));
}

/* The end of the road for an entry function that returns: there is no frame
   below to return to.  Called by the first frame, from assembly. */
__attribute__((used, noreturn, visibility("hidden"))) void
stack_entry_returned(void)
{
    fputs("pickletask: the entry function of a C stack returned\n", stderr);
    abort();
}
