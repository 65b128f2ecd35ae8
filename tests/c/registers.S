/* registers_across_swap(): a swap between two looks at the registers.

   void *registers_across_swap(void **save, void *to, void *value,
                               const uint64_t *in, uint64_t *out)

   Loads every callee-saved register from in[], calls stack_swap(save, to,
   value), stores the registers into out[], and returns what stack_swap()
   returned.  The order of the registers doesn't matter: in[] must equal out[].
   6 registers on x86-64, 19 on AArch64. */

#if defined(__APPLE__)
#  define SYMBOL(name) _##name
#else
#  define SYMBOL(name) name
#endif

        .text
        .globl SYMBOL(registers_across_swap)
        .p2align 4

#if defined(__x86_64__)

SYMBOL(registers_across_swap):
        pushq   %rbp
        pushq   %rbx
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        pushq   %r8
        movq    (%rcx), %rbp
        movq    8(%rcx), %rbx
        movq    16(%rcx), %r12
        movq    24(%rcx), %r13
        movq    32(%rcx), %r14
        movq    40(%rcx), %r15
        callq   SYMBOL(stack_swap)
        popq    %r8
        movq    %rbp, (%r8)
        movq    %rbx, 8(%r8)
        movq    %r12, 16(%r8)
        movq    %r13, 24(%r8)
        movq    %r14, 32(%r8)
        movq    %r15, 40(%r8)
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbx
        popq    %rbp
        ret

#elif defined(__aarch64__)

SYMBOL(registers_across_swap):
        stp     x29, x30, [sp, #-176]!
        stp     x19, x20, [sp, #16]
        stp     x21, x22, [sp, #32]
        stp     x23, x24, [sp, #48]
        stp     x25, x26, [sp, #64]
        stp     x27, x28, [sp, #80]
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        str     x4, [sp, #160]
        ldp     x19, x20, [x3]
        ldp     x21, x22, [x3, #16]
        ldp     x23, x24, [x3, #32]
        ldp     x25, x26, [x3, #48]
        ldp     x27, x28, [x3, #64]
        ldp     d8, d9, [x3, #80]
        ldp     d10, d11, [x3, #96]
        ldp     d12, d13, [x3, #112]
        ldp     d14, d15, [x3, #128]
        ldr     x29, [x3, #144]
        bl      SYMBOL(stack_swap)
        ldr     x4, [sp, #160]
        stp     x19, x20, [x4]
        stp     x21, x22, [x4, #16]
        stp     x23, x24, [x4, #32]
        stp     x25, x26, [x4, #48]
        stp     x27, x28, [x4, #64]
        stp     d8, d9, [x4, #80]
        stp     d10, d11, [x4, #96]
        stp     d12, d13, [x4, #112]
        stp     d14, d15, [x4, #128]
        str     x29, [x4, #144]
        ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        ldp     x29, x30, [sp], #176
        ret

#endif

#if defined(__linux__) && defined(__ELF__)
        .section .note.GNU-stack, "", %progbits
#endif
