/* C stacks for computations that are suspended and resumed.

   This layer knows nothing of Python.  It hands out memory to run C code on
   (a "stack"), keeps what is given back for the next one (a "pool"), and
   moves the processor from one stack to another ("swap").

        static void *home;                   where the caller is suspended
        static void *away;                   where the coroutine is suspended

        static void
        run(void *argument)                  runs on the new stack
        {
            for (;;) {
                stack_swap(&away, home, argument);
            }
        }

        stack *s = stack_acquire(&pool);     NULL: out of memory
        away = stack_prepare(s->high, run, argument);
        result = stack_swap(&home, away, NULL);
        stack_release(&pool, s);             forgets what is suspended there

   One pool belongs to one thread; nothing here takes a lock.  A suspended
   stack may be moved by nobody and must be resumed by the thread whose C code
   runs on it. */

#ifndef STACK_STACK_H
#define STACK_STACK_H

#include <stdbool.h>
#include <stddef.h>

typedef struct stack_arena stack_arena;

/* Usable bytes are [low, high); both are page aligned.  The guard lies just
   below `low`: whoever overflows the stack gets SIGSEGV.  The structure itself
   lies elsewhere, so that a shallow stack touches one page only. */
typedef struct stack {
    char *low;
    char *high;
    struct stack *next;         /* in the pool's list of free stacks */
    struct stack *previous;     /* in the same, while hot or warm */
    stack_arena *arena;         /* borrowed: where the memory comes from */
    unsigned flags;             /* of STACK_LIVE, STACK_EMPTY */
    unsigned valgrind_id;       /* see tools.h */
} stack;

#define STACK_LIVE 1u           /* acquired and not yet released */
#define STACK_EMPTY 2u          /* free, and all its pages given back */

/* How guards are made: by madvise(), or by mprotect() where that fails. */
typedef enum stack_guard {
    STACK_GUARD_UNKNOWN,
    STACK_GUARD_LIGHT,
    STACK_GUARD_MPROTECT,
} stack_guard;

/* Embed one for each thread; the fields are private to this layer. */
typedef struct stack_pool {
    size_t size;                /* usable bytes of a stack: whole pages */
    stack_arena *arenas;        /* owned; newest first */
    size_t total;               /* stacks the arenas have room for */
    size_t live;                /* of these: acquired */
    stack *free;                /* free stacks: hot, then warm, then cold */
    stack *hot_last;            /* NULL: none is hot */
    stack *warm_last;           /* NULL: none is warm */
    size_t hot_count;
    size_t warm_count;
    size_t cold_count;
    stack_guard guard;          /* what the kernel turned out to have */
} stack_pool;

/* Runs on a new stack.  Must never return: the process is aborted if it does.
   To end, swap away for good and have the stack released from elsewhere. */
typedef void (*stack_entry)(void *argument);

#pragma GCC visibility push(hidden)

/* Makes an empty pool; takes no memory yet.  `size` are the usable bytes of
   each stack, rounded up to pages. */
void stack_pool_init(stack_pool *pool, size_t size);

/* Returns a stack with arbitrary contents, which the caller owns until it
   gives it to stack_release().  NULL with errno = ENOMEM if there's no memory,
   no address space or no guard to be had; nothing is lost then, and a later
   call may succeed. */
stack *stack_acquire(stack_pool *pool);

/* Steals `s`, which came from this very pool.  What is suspended there is
   forgotten.  Must be called while running on another stack.  Cannot fail;
   costs two system calls at most and leaves errno alone. */
void stack_release(stack_pool *pool, stack *s);

/* Gives the memory of all free stacks back to the operating system. */
void stack_pool_trim(stack_pool *pool);

/* Empties the pool.  Memory of arenas that still hold live stacks is leaked
   on purpose, because somebody is suspended there; such stacks stay valid but
   can't be released any more. */
void stack_pool_fini(stack_pool *pool);

/* Lays out a first frame just below `top` (rounded down to 16 bytes) that
   will call entry(argument).  Returns what to give to stack_swap().  Bytes
   between `top` and the end of the stack are left to the caller. */
void *stack_prepare(void *top, stack_entry entry, void *argument);

/* Suspends the caller, stores its stack pointer in *save, and resumes whoever
   was suspended at `to`; there, stack_swap() returns `value`.  (A stack fresh
   from stack_prepare() has nobody to return it to: `entry` sees only its
   argument.)  Returns the value that the next swap back to *save brings.

   Callee-saved registers are kept.  The floating-point control words are not:
   they stay what they are for the thread, like errno and other
   thread-local state. */
void *stack_swap(void **save, void *to, void *value);

/* Aborts if an invariant of `s` is broken (in builds with assertions);
   returns true, so that it can be asserted. */
bool stack_check(const stack *s);

#pragma GCC visibility pop

#endif
