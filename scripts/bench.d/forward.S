# A library of hooks that only forward, for what a hook costs that does nothing: the call, and the return after a
# system call, which the processor cannot predict.
    .macro forward name
    .globl \name
    .type \name, @function
\name:
    push %rdi
    call *real_\name(%rip)
    pop %rdi
    ret
    .size \name, . - \name
    .pushsection .bss
    .balign 8
real_\name: .zero 8
    .popsection
    .pushsection .rodata
name_\name: .asciz "\name"
    .popsection
    .endm

    .macro resolve name
    mov $-1, %rdi
    lea name_\name(%rip), %rsi
    call dlsym@PLT
    mov %rax, real_\name(%rip)
    .endm

    .text
    forward read
    forward write

resolve_all:
    sub $8, %rsp
    resolve read
    resolve write
    add $8, %rsp
    ret

    .section .init_array, "aw"
    .balign 8
    .quad resolve_all
    .section .note.GNU-stack, "", @progbits
