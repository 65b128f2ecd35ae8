/* Swapping stack pointers: AArch64, AAPCS64 (ELF and Mach-O).

   A suspended stack, as its saved stack pointer sees it:

        sp + 144  d14, d15
        sp + 128  d12, d13
        sp + 112  d10, d11
        sp +  96  d8, d9
        sp +  80  x27, x28
        sp +  64  x25, x26
        sp +  48  x23, x24
        sp +  32  x21, x22
        sp +  16  x19, x20      first frame: entry, argument
        sp        x29, x30      frame pointer, return address

   These are all the registers that a callee must keep: of the vector ones,
   only the lower halves.  fpcr (rounding mode, exception masks) belongs to the
   thread and is left alone, for the reason given in swap_x86_64.S.  So does
   x18, the platform's register; where it points to a shadow call stack
   (-fsanitize=shadow-call-stack), swapping would need one for each stack.

   Branch targets (BTI): all that is called starts with bti; what is returned
   to needs none.  The saved return address isn't signed (PAC); callers sign
   their own.  Guarded control stacks (GCS) are not supported, and the property
   note below doesn't claim them.  Support needs a control stack for each stack
   (map_shadow_stack, with a cap token at its top) and gcsss1 and gcsss2 around
   the swap. */

#if defined(__aarch64__)

#if defined(__APPLE__)
#  define SYMBOL(name) _##name
#  define TYPE(name)
#  define HIDDEN(name) .private_extern SYMBOL(name)
#  define END(name)
#else
#  define SYMBOL(name) name
#  define TYPE(name) .type name, %function
#  define HIDDEN(name) .hidden name
#  define END(name) .size name, . - name
#endif

/* Older assemblers don't know bti; as hints these are no-ops without BTI. */
#define BTI_C hint #34

        .text

/* void *stack_swap(void **save: x0, void *to: x1, void *value: x2) */
        .globl SYMBOL(stack_swap)
        HIDDEN(stack_swap)
        TYPE(stack_swap)
        .p2align 4
SYMBOL(stack_swap):
        .cfi_startproc
        BTI_C
        stp     x29, x30, [sp, #-160]!
        .cfi_adjust_cfa_offset 160
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        stp     x19, x20, [sp, #16]
        .cfi_rel_offset x19, 16
        .cfi_rel_offset x20, 24
        stp     x21, x22, [sp, #32]
        .cfi_rel_offset x21, 32
        .cfi_rel_offset x22, 40
        stp     x23, x24, [sp, #48]
        .cfi_rel_offset x23, 48
        .cfi_rel_offset x24, 56
        stp     x25, x26, [sp, #64]
        .cfi_rel_offset x25, 64
        .cfi_rel_offset x26, 72
        stp     x27, x28, [sp, #80]
        .cfi_rel_offset x27, 80
        .cfi_rel_offset x28, 88
        stp     d8, d9, [sp, #96]
        .cfi_rel_offset d8, 96
        .cfi_rel_offset d9, 104
        stp     d10, d11, [sp, #112]
        .cfi_rel_offset d10, 112
        .cfi_rel_offset d11, 120
        stp     d12, d13, [sp, #128]
        .cfi_rel_offset d12, 128
        .cfi_rel_offset d13, 136
        stp     d14, d15, [sp, #144]
        .cfi_rel_offset d14, 144
        .cfi_rel_offset d15, 152

        mov     x9, sp
        str     x9, [x0]
        mov     sp, x1              /* same layout: the CFI stays true */
        mov     x0, x2

        ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        ldp     x29, x30, [sp], #160
        .cfi_adjust_cfa_offset -160
        .cfi_restore x29
        .cfi_restore x30
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore d8
        .cfi_restore d9
        .cfi_restore d10
        .cfi_restore d11
        .cfi_restore d12
        .cfi_restore d13
        .cfi_restore d14
        .cfi_restore d15
        ret
        .cfi_endproc
        END(stack_swap)

/* void *stack_prepare(void *top: x0, stack_entry entry: x1,
                       void *argument: x2) */
        .globl SYMBOL(stack_prepare)
        HIDDEN(stack_prepare)
        TYPE(stack_prepare)
        .p2align 4
SYMBOL(stack_prepare):
        .cfi_startproc
        BTI_C
        and     x0, x0, #-16
        sub     x0, x0, #160
        adr     x9, stack_begin
        stp     xzr, x9, [x0]       /* x29 = 0 ends chains of frames */
        stp     x1, x2, [x0, #16]
        stp     xzr, xzr, [x0, #32]
        stp     xzr, xzr, [x0, #48]
        stp     xzr, xzr, [x0, #64]
        stp     xzr, xzr, [x0, #80]
        stp     xzr, xzr, [x0, #96]
        stp     xzr, xzr, [x0, #112]
        stp     xzr, xzr, [x0, #128]
        stp     xzr, xzr, [x0, #144]
        ret
        .cfi_endproc
        END(stack_prepare)

/* Where a new stack starts running: sp = top, a multiple of 16. */
        TYPE(stack_begin)
        .p2align 4
stack_begin:
        .cfi_startproc
        .cfi_undefined x30          /* unwinders stop here */
        mov     x0, x20
        blr     x19
        bl      SYMBOL(stack_entry_returned)
        brk     #1
        .cfi_endproc
        END(stack_begin)

#if !defined(__APPLE__)
/* Property note: GNU_PROPERTY_AARCH64_FEATURE_1_AND = BTI. */
        .section .note.gnu.property, "a"
        .p2align 3
        .long   4                   /* length of the name */
        .long   16                  /* length of the descriptor */
        .long   5                   /* NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .long   0xc0000000          /* GNU_PROPERTY_AARCH64_FEATURE_1_AND */
        .long   4
        .long   1                   /* GNU_PROPERTY_AARCH64_FEATURE_1_BTI */
        .long   0
#endif

#endif  /* __aarch64__ */

#if defined(__linux__) && defined(__ELF__)
        .section .note.GNU-stack, "", %progbits
#endif
