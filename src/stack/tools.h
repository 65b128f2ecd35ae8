/* Tools that watch memory: what they are told about stacks.

   AddressSanitizer and valgrind take for granted that a thread has one stack
   and leaves each frame by returning from it.  Builds for them say otherwise:

        tools_add()         here is a stack               arena.c
        tools_remove()      it is no more
        tools_open()        its memory may be used        stack.c
        tools_close()       nobody looks at it now
        tools_leave()       another stack is to run       whoever swaps
        tools_arrive()      it runs

   A free stack is thus forbidden ground, and whoever still looks at what was
   abandoned there is caught in the act: our own code by AddressSanitizer, all
   of the process by valgrind.  In other builds all of this is nothing.

   -fsanitize=address is seen here; valgrind needs -DPICKLETASK_VALGRIND and
   its header.  AddressSanitizer must run with detect_stack_use_after_return=0:
   otherwise locals live elsewhere, and are lost with an abandoned stack. */

#ifndef STACK_TOOLS_H
#define STACK_TOOLS_H

#include "stack.h"

#if defined(__SANITIZE_ADDRESS__)
#  define TOOLS_ASAN 1
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer)
#    define TOOLS_ASAN 1
#  endif
#endif
#ifndef TOOLS_ASAN
#  define TOOLS_ASAN 0
#endif

#ifdef PICKLETASK_VALGRIND
#  define TOOLS_VALGRIND 1
#else
#  define TOOLS_VALGRIND 0
#endif

#pragma GCC visibility push(hidden)

#if TOOLS_ASAN || TOOLS_VALGRIND

/* A stack that was never used is open. */
void tools_add(stack *s);

/* Leaves the memory open, for whatever will be mapped there. */
void tools_remove(stack *s);

void tools_open(stack *s);
void tools_close(stack *s);

#else

#  define tools_add(s) ((void)(s))
#  define tools_remove(s) ((void)(s))
#  define tools_open(s) ((void)(s))
#  define tools_close(s) ((void)(s))

#endif

#if TOOLS_ASAN

/* To be called before stack_swap(): `to` runs next; NULL is the thread's own
   stack.  Notes in *mark what tools_arrive() is to be given when the caller
   goes on; NULL: it never will. */
void tools_leave(void **mark, const stack *to);

/* To be called after stack_swap(), and first of all on a new stack: there
   with NULL. */
void tools_arrive(void **mark);

#else

#  define tools_leave(mark, to) ((void)(mark))
#  define tools_arrive(mark) ((void)(mark))

#endif

#pragma GCC visibility pop

#endif
