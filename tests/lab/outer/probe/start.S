# From the firmware (BIOS) to C: the first sector loads the rest of the disk, goes to protected mode, calls main.

        .section .boot, "ax"
        .code16
        .globl  start
start:
        cli
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        movw    $packet, %si            # INT 13h, function 42h: read by block address; DL is the drive we are on
        movb    $0x42, %ah
        int     $0x13
        jc      failed
        lgdt    descriptors
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $0x08, $protected
failed:
        movw    $0x3f8, %dx
        movb    $'!', %al
        outb    %al, %dx
        hlt
        jmp     failed

        .balign 4
packet:
        .byte   16, 0
        .word   SECTORS                 # of the linker script: what follows the first sector
        .word   0x0000, 0x07e0          # to 0x7e00, behind the first sector
        .quad   1

        .balign 8
table:  .quad   0
        .quad   0x00cf9a000000ffff      # code, all 4 GiB
        .quad   0x00cf92000000ffff      # data, all 4 GiB
descriptors:
        .word   . - table - 1
        .long   table

        .org    510
        .word   0xaa55

        .text
        .code32
protected:
        movw    $0x10, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %fs
        movw    %ax, %gs
        movw    %ax, %ss
        movl    $STACK, %esp
        movl    $BSS_START, %edi        # memory that C takes for zero
        movl    $BSS_END, %ecx
        subl    %edi, %ecx
        xorl    %eax, %eax
        rep stosb
        call    main
stopped:
        hlt
        jmp     stopped

        .globl  on_tick
on_tick:
        pushl   %eax
        incl    ticks
        movb    $0x20, %al              # end of interrupt, to the first controller
        outb    %al, $0x20
        popl    %eax
        iret

        .section .note.GNU-stack, "", @progbits
