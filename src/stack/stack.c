/* Pools of C stacks.

   The free stacks form one list, the one released last in front.  The nearer
   to the front, the more memory a stack keeps:

        free      hot_last         warm_last
         |            |                |
         v            v                v
        hot ... ... hot, warm ... ... warm, cold ... ... cold

        hot     the STACK_HOT_LIMIT released last: all pages
        warm    STACK_WARM_LIMIT more: the topmost pages, where tasks begin
        cold    the others: none

   A release pushes the last hot stack over the first border and the last
   warm one over the second, and never costs more than that.  Stacks are thus
   reused strictly last in, first out (what is in the processor's cache is used
   again first), and a stack is used for the first time when none is free.

   Arenas grow with the number of stacks, so that a program of few tasks
   reserves little and one of 100 000 tasks needs few mappings. */

#include "stack.h"
#include "arena.h"
#include "tools.h"

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

/* Free stacks that keep all pages, and those that keep some bytes. */
#ifndef STACK_HOT_LIMIT
#  define STACK_HOT_LIMIT 64
#endif
#ifndef STACK_WARM_LIMIT
#  define STACK_WARM_LIMIT 1024
#endif
#define STACK_WARM_BYTES ((size_t)8192)

/* Far more than any system can map, yet nothing computed of it overflows. */
#define STACK_SIZE_LIMIT (SIZE_MAX / 4)

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
    assert(!(s->flags & STACK_LIVE) || arena->live > 0);
    (void)arena;
    return true;
}

#ifndef NDEBUG
/* Every stack is live, hot, warm, cold or unused. */
static bool
pool_check(const stack_pool *pool)
{
    const stack_arena *newest = pool->arenas;
    size_t unused = newest == NULL ? 0 : newest->count - newest->used;
    size_t free_count = pool->hot_count + pool->warm_count + pool->cold_count;

    assert(pool->live + free_count + unused == pool->total);
    assert(pool->hot_count <= STACK_HOT_LIMIT);
    assert(pool->warm_count <= STACK_WARM_LIMIT);
    assert((pool->free == NULL) == (free_count == 0));
    assert((pool->hot_last == NULL) == (pool->hot_count == 0));
    assert((pool->warm_last == NULL) == (pool->warm_count == 0));
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
/* Scribbling */

/* Overwrites the pages in use, so that whoever still looks at them stumbles
   here and now.  Touches no others: tests measure memory.  Testing builds
   only. */
static void
scribble(stack *s)
{
#ifdef STACK_SCRIBBLE
    enum { BATCH = 256 };
    unsigned char resident[BATCH];
    size_t page = page_size();
    int saved_errno = errno;

    tools_open(s);
    for (char *low = s->low; low < s->high; low += BATCH * page) {
        size_t rest = (size_t)(s->high - low);
        size_t pages = rest / page < BATCH ? rest / page : BATCH;

        if (mincore(low, pages * page, (void *)resident) != 0) {
            continue;
        }
        for (size_t i = 0; i < pages; i++) {
            if (resident[i] & 1) {
                memset(low + i * page, 0xDB, page);
            }
        }
    }
    errno = saved_errno;
#endif
}

/* ------------------------------------------------------------------------- */
/* Free stacks */

/* Takes the free stack released last; the caller owns it.  There is one. */
static stack *
pop_free(stack_pool *pool)
{
    stack *s = pool->free;

    pool->free = s->next;
    if (pool->free != NULL) {
        pool->free->previous = NULL;
    }
    if (pool->hot_count > 0) {
        if (--pool->hot_count == 0) {
            pool->hot_last = NULL;
        }
    }
    else if (pool->warm_count > 0) {
        if (--pool->warm_count == 0) {
            pool->warm_last = NULL;
        }
    }
    else {
        pool->cold_count--;
    }
    s->next = NULL;
    return s;
}

/* Moves the borders, so that one hot stack less remains, and not too many
   warm ones. */
static void
cool(stack_pool *pool)
{
    stack *s = pool->hot_last;

    pool->hot_last = s->previous;
    pool->hot_count--;
    arena_give_back(s, STACK_WARM_BYTES);
    if (pool->warm_count++ == 0) {
        pool->warm_last = s;
    }
    if (pool->warm_count > STACK_WARM_LIMIT) {
        s = pool->warm_last;
        pool->warm_last = s->previous;
        pool->warm_count--;
        arena_give_back(s, 0);
        pool->cold_count++;
    }
}

/* Steals `s`. */
static void
push_free(stack_pool *pool, stack *s)
{
    s->previous = NULL;
    s->next = pool->free;
    if (s->next != NULL) {
        s->next->previous = s;
    }
    pool->free = s;
    if (pool->hot_count++ == 0) {
        pool->hot_last = s;
    }
    if (pool->hot_count > STACK_HOT_LIMIT) {
        cool(pool);
    }
}

/* Makes all free stacks cold and drops those of arenas without live stacks:
   these can be unmapped now. */
static void
cool_all(stack_pool *pool)
{
    stack **link = &pool->free;

    pool->hot_last = pool->warm_last = NULL;
    pool->hot_count = pool->warm_count = pool->cold_count = 0;
    while (*link != NULL) {
        stack *s = *link;

        if (s->arena->live == 0) {
            *link = s->next;
            continue;
        }
        arena_give_back(s, 0);
        pool->cold_count++;
        link = &s->next;
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
    return arena_carve(pool->arenas, &pool->guard);
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

void
stack_pool_trim(stack_pool *pool)
{
    stack_arena **link = &pool->arenas;

    assert(pool_check(pool));
    cool_all(pool);
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
    assert(pool_check(pool));
}

void
stack_pool_fini(stack_pool *pool)
{
    stack_pool_trim(pool);
    /* What's left has live stacks, which its records go on describing. */
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
    if (pool->free != NULL) {
        s = pop_free(pool);
        tools_open(s);
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
    scribble(s);
    tools_close(s);
    s->flags = 0;
    s->arena->live--;
    pool->live--;
    push_free(pool, s);
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
