/* Arenas: address space for many stacks at once, and their guards.

   One mapping serves many stacks, for the kernel limits the number of
   mappings (65530 by default on Linux) far below the number of tasks that
   people want:

        base                                                  base + bytes
        | guard | stack 0      | guard | stack 1      | guard | ...
                low         high

   - Memory is reserved, not committed: a stack costs the pages it touches.
     Huge pages are refused, or the first touch would cost two megabytes.
   - A guard is installed when its stack is first handed out.  Linux 6.13 has
     guards in the page table (MADV_GUARD_INSTALL); elsewhere mprotect() has
     to split the mapping in two for each stack, and fails when the kernel's
     limit is reached.  Then there are simply no more stacks.
   - The stack structures lie here, in malloc'ed memory, for 40 bytes each.

   Called by stack.c only. */

#include "arena.h"
#include "tools.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifndef MAP_ANONYMOUS
#  define MAP_ANONYMOUS MAP_ANON
#endif
#ifndef MAP_NORESERVE
#  define MAP_NORESERVE 0
#endif

/* Missing in the headers of older systems; the kernel may know it anyway. */
#if defined(__linux__) && !defined(MADV_GUARD_INSTALL)
#  define MADV_GUARD_INSTALL 102
#endif
#if defined(__linux__) && !defined(MADV_POPULATE_READ)
#  define MADV_POPULATE_READ 22
#endif

/* ------------------------------------------------------------------------- */
/* Mapping */

/* Returns NULL if there's no room. */
static char *
map_memory(size_t bytes)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *base;

#ifdef __linux__
    flags |= MAP_STACK;
#endif
    base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (base == MAP_FAILED) {
        return NULL;
    }
#ifdef MADV_NOHUGEPAGE
    /* Fails in kernels without huge pages, which is fine as well. */
    (void)madvise(base, bytes, MADV_NOHUGEPAGE);
#endif
    return base;
}

/* Gives pages back; they read as zeros or as before.  Fails in locked memory
   only, where they stay. */
static void
discard(char *low, size_t bytes)
{
#ifdef __linux__
    (void)madvise(low, bytes, MADV_DONTNEED);
#else
    (void)madvise(low, bytes, MADV_FREE);
#endif
}

stack_arena *
arena_new(size_t count, size_t size)
{
    stack_arena *arena = NULL;
    size_t slot = STACK_GUARD_SIZE + size;

    if (slot > SIZE_MAX / count) {
        goto error;
    }
    arena = calloc(1, sizeof(*arena) + count * sizeof(stack));
    if (arena == NULL) {
        goto error;
    }
    arena->count = count;
    arena->bytes = count * slot;
    arena->base = map_memory(arena->bytes);
    if (arena->base == NULL) {
        goto error;
    }
    for (size_t i = 0; i < count; i++) {
        stack *s = &arena->stacks[i];

        s->low = arena->base + i * slot + STACK_GUARD_SIZE;
        s->high = s->low + size;
        s->arena = arena;
        s->flags = STACK_EMPTY;
    }
    return arena;

error:
    free(arena);
    errno = ENOMEM;
    return NULL;
}

void
arena_free(stack_arena *arena)
{
    int saved_errno = errno;

    assert(arena->live == 0);
    for (size_t i = 0; i < arena->used; i++) {
        tools_remove(&arena->stacks[i]);
    }
    /* Where the kernel joined this mapping with a neighbour's, unmapping
       splits them again, for which it may lack room.  Then address space is
       lost, but no memory. */
    if (munmap(arena->base, arena->bytes) != 0) {
        discard(arena->base, arena->bytes);
    }
    free(arena);
    errno = saved_errno;
}

/* ------------------------------------------------------------------------- */
/* Stacks */

#ifdef MADV_GUARD_INSTALL
/* Whether touching `guard` would be an error, found out without doing it.
   Some emulators answer every madvise() with success and do nothing. */
static bool
is_guarded(char *guard)
{
    return madvise(guard, STACK_GUARD_SIZE, MADV_POPULATE_READ) != 0
           && errno == EFAULT;
}
#endif

static bool
install_guard(char *guard, stack_guard *kind)
{
#ifdef MADV_GUARD_INSTALL
    if (*kind != STACK_GUARD_MPROTECT) {
        if (madvise(guard, STACK_GUARD_SIZE, MADV_GUARD_INSTALL) == 0) {
            if (*kind == STACK_GUARD_LIGHT || is_guarded(guard)) {
                *kind = STACK_GUARD_LIGHT;
                return true;
            }
            *kind = STACK_GUARD_MPROTECT;
        }
        /* Older kernels don't know it, and newer ones refuse it in locked
           memory.  Other errors are about this moment only. */
        else if (errno == EINVAL) {
            *kind = STACK_GUARD_MPROTECT;
        }
    }
#else
    *kind = STACK_GUARD_MPROTECT;
#endif
    return mprotect(guard, STACK_GUARD_SIZE, PROT_NONE) == 0;
}

stack *
arena_carve(stack_arena *arena, stack_guard *kind)
{
    stack *s = &arena->stacks[arena->used];

    assert(arena->used < arena->count);
    if (!install_guard(s->low - STACK_GUARD_SIZE, kind)) {
        errno = ENOMEM;
        return NULL;
    }
    arena->used++;
    tools_add(s);
    return s;
}

void
arena_give_back(stack *s, size_t keep)
{
    int saved_errno = errno;
    size_t size = (size_t)(s->high - s->low);

    assert(!(s->flags & STACK_LIVE));
    if (!(s->flags & STACK_EMPTY) && keep < size) {
        discard(s->low, size - keep);
        if (keep == 0) {
            s->flags |= STACK_EMPTY;
        }
    }
    errno = saved_errno;
}
