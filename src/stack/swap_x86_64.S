/* Swapping stack pointers: x86-64, System V ABI (ELF and Mach-O).

   A suspended stack, as its saved stack pointer sees it:

        sp + 48   return address
        sp + 40   rbp
        sp + 32   rbx
        sp + 24   r12       first frame: entry
        sp + 16   r13       first frame: argument
        sp +  8   r14
        sp        r15

   These are all the registers that a callee must keep, but for two control
   words: mxcsr and the x87 control word hold rounding mode and exception
   masks.  Saving them doubled the time of a swap, and almost nobody changes
   them; so they belong to the thread and are left alone.

   The swap ends by `ret`, not by a jump.  A jump looks faster in a loop of
   bare swaps, whose two ends return to different places.  But it leaves the
   processor's stack of predicted returns one entry too high, so that every
   further return is predicted wrong: 8 calls deep, 7 times as slow.  With
   `ret`, tasks that were suspended by the same chain of calls, as nearly all
   are, return as predicted although their stacks were exchanged.

   Control-flow enforcement (CET): indirect branch tracking is fine; all that
   is called starts with endbr64, and `ret` isn't tracked.  Shadow stacks are
   not supported, and the property note below doesn't claim them; the loader
   then refuses or disables them.  Support needs a shadow stack for each stack
   (map_shadow_stack, with a restore token at its top) and rstorssp and
   saveprevssp around the swap. */

#if defined(__x86_64__) && !defined(_WIN32)

#if defined(__APPLE__)
#  define SYMBOL(name) _##name
#  define FUNCTION(name) .globl SYMBOL(name)
#  define HIDDEN(name) .private_extern SYMBOL(name)
#  define END(name)
#else
#  define SYMBOL(name) name
#  define FUNCTION(name) .globl name; .type name, @function
#  define HIDDEN(name) .hidden name
#  define END(name) .size name, . - name
#endif

        .text

/* void *stack_swap(void **save: rdi, void *to: rsi, void *value: rdx) */
        FUNCTION(stack_swap)
        HIDDEN(stack_swap)
        .p2align 4
SYMBOL(stack_swap):
        .cfi_startproc
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0

        movq    %rsp, (%rdi)
        movq    %rsi, %rsp      /* same layout, so the CFI stays true */
        movq    %rdx, %rax

        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        ret
        .cfi_endproc
        END(stack_swap)

/* void *stack_prepare(void *top: rdi, stack_entry entry: rsi,
                       void *argument: rdx) */
        FUNCTION(stack_prepare)
        HIDDEN(stack_prepare)
        .p2align 4
SYMBOL(stack_prepare):
        .cfi_startproc
        endbr64
        andq    $-16, %rdi
        xorl    %ecx, %ecx
        leaq    stack_begin(%rip), %rax
        movq    %rax, -8(%rdi)
        movq    %rcx, -16(%rdi)     /* rbp = 0 ends chains of frames */
        movq    %rcx, -24(%rdi)
        movq    %rsi, -32(%rdi)
        movq    %rdx, -40(%rdi)
        movq    %rcx, -48(%rdi)
        movq    %rcx, -56(%rdi)
        leaq    -56(%rdi), %rax
        ret
        .cfi_endproc
        END(stack_prepare)

/* Where a new stack starts running: rsp = top, a multiple of 16. */
        .p2align 4
stack_begin:
        .cfi_startproc
        .cfi_undefined %rip         /* unwinders stop here */
        endbr64
        movq    %r13, %rdi
        callq   *%r12
        callq   SYMBOL(stack_entry_returned)
        ud2
        .cfi_endproc
        END(stack_begin)

#if !defined(__APPLE__)
/* Property note: GNU_PROPERTY_X86_FEATURE_1_AND = IBT, without SHSTK. */
        .section .note.gnu.property, "a"
        .p2align 3
        .long   4                   /* length of the name */
        .long   16                  /* length of the descriptor */
        .long   5                   /* NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .long   0xc0000002          /* GNU_PROPERTY_X86_FEATURE_1_AND */
        .long   4
        .long   1                   /* GNU_PROPERTY_X86_FEATURE_1_IBT */
        .long   0
#endif

#endif  /* __x86_64__ */

#if defined(__linux__) && defined(__ELF__)
        .section .note.GNU-stack, "", %progbits
#endif
