/* Arenas: address space for many stacks at once, and their guards.

   Private to src/stack; see arena.c. */

#ifndef STACK_ARENA_H
#define STACK_ARENA_H

#include "stack.h"

/* Covers the largest frame of C code that doesn't probe its pages. */
#define STACK_GUARD_SIZE ((size_t)64 * 1024)

struct stack_arena {
    stack_arena *next;
    const stack_pool *pool;     /* borrowed; NULL once the pool is gone */
    char *base;                 /* owned mapping */
    size_t bytes;
    size_t count;               /* length of stacks[] */
    size_t used;                /* stacks[used:] were never handed out */
    size_t live;                /* acquired stacks */
    stack stacks[];
};

#pragma GCC visibility push(hidden)

/* Maps room for `count` stacks of `size` bytes.  Returns an arena that the
   caller owns, or NULL with errno = ENOMEM. */
stack_arena *arena_new(size_t count, size_t size);

/* Steals and unmaps an arena without live stacks.  Leaves errno alone. */
void arena_free(stack_arena *arena);

/* Makes the next unused stack usable: installs its guard.  Returns a borrowed
   stack, or NULL with errno = ENOMEM, when another call may succeed.  Learns
   in *kind what guards the kernel has. */
stack *arena_carve(stack_arena *arena, stack_guard *kind);

/* Gives the pages of a free stack back, except for `keep` bytes at its top.
   Leaves errno alone. */
void arena_give_back(stack *s, size_t keep);

#pragma GCC visibility pop

#endif
