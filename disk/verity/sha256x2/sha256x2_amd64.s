#include "textflag.h"

// Each lane keeps its state in two registers (abef, cdgh) and sixteen words of
// the message schedule in four (m0 … m3). X0 is what SHA256RNDS2 takes without
// naming it, X13 a scratch register, X15 the byte order.
#define ABEF0 X1
#define CDGH0 X2
#define ABEF1 X7
#define CDGH1 X8

// LOAD reads four words of the message.
#define LOAD(offset, p, m) \
	MOVOU  offset(p), m \
	PSHUFB X15, m

// ROUNDS does four rounds with the words m and the constants at k.
#define ROUNDS(k, m, abef, cdgh) \
	MOVOU       (k*16)(R8), X0 \
	PADDL       m, X0          \
	SHA256RNDS2 X0, abef, cdgh \
	PSHUFD      $0x0e, X0, X0  \
	SHA256RNDS2 X0, cdgh, abef

// NEXT makes the words after m, in the place of those sixteen before them: next.
#define NEXT(prev, m, next) \
	MOVO       m, X13       \
	PALIGNR    $4, prev, X13 \
	PADDL      X13, next    \
	SHA256MSG2 m, next

// QUAD does four rounds, finishes the next words and starts those after them.
#define QUAD(k, prev, m, next, abef, cdgh) \
	ROUNDS(k, m, abef, cdgh) \
	NEXT(prev, m, next)      \
	SHA256MSG1 m, prev

// Lane 0 has m0 … m3 in X3 … X6, lane 1 in X9 … X12. The two lanes' turns follow
// each other closely enough for the processor to overlap them.
#define BOTH(k, prev0, m0, next0, prev1, m1, next1) \
	QUAD(k, prev0, m0, next0, ABEF0, CDGH0) \
	QUAD(k, prev1, m1, next1, ABEF1, CDGH1)

// The words of a chunk are big-endian.
DATA swap<>+0(SB)/8, $0x0405060700010203
DATA swap<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL swap<>(SB), RODATA|NOPTR, $16

// func compress(lanes *[2]lane, a, b *byte, n int, k *[64]uint32)
TEXT ·compress(SB), NOSPLIT, $0-40
	MOVQ  lanes+0(FP), DI
	MOVQ  a+8(FP), SI
	MOVQ  b+16(FP), DX
	MOVQ  n+24(FP), CX
	MOVQ  k+32(FP), R8
	MOVOU swap<>(SB), X15
	MOVOU 0(DI), ABEF0
	MOVOU 16(DI), CDGH0
	MOVOU 32(DI), ABEF1
	MOVOU 48(DI), CDGH1

loop:
	LOAD(0, SI, X3)
	LOAD(0, DX, X9)
	ROUNDS(0, X3, ABEF0, CDGH0)
	ROUNDS(0, X9, ABEF1, CDGH1)

	LOAD(16, SI, X4)
	LOAD(16, DX, X10)
	ROUNDS(1, X4, ABEF0, CDGH0)
	ROUNDS(1, X10, ABEF1, CDGH1)
	SHA256MSG1 X4, X3
	SHA256MSG1 X10, X9

	LOAD(32, SI, X5)
	LOAD(32, DX, X11)
	ROUNDS(2, X5, ABEF0, CDGH0)
	ROUNDS(2, X11, ABEF1, CDGH1)
	SHA256MSG1 X5, X4
	SHA256MSG1 X11, X10

	LOAD(48, SI, X6)
	LOAD(48, DX, X12)
	BOTH(3, X5, X6, X3, X11, X12, X9)

	BOTH(4, X6, X3, X4, X12, X9, X10)
	BOTH(5, X3, X4, X5, X9, X10, X11)
	BOTH(6, X4, X5, X6, X10, X11, X12)
	BOTH(7, X5, X6, X3, X11, X12, X9)
	BOTH(8, X6, X3, X4, X12, X9, X10)
	BOTH(9, X3, X4, X5, X9, X10, X11)
	BOTH(10, X4, X5, X6, X10, X11, X12)
	BOTH(11, X5, X6, X3, X11, X12, X9)
	BOTH(12, X6, X3, X4, X12, X9, X10)

	// The last words need no successors.
	ROUNDS(13, X4, ABEF0, CDGH0)
	ROUNDS(13, X10, ABEF1, CDGH1)
	NEXT(X3, X4, X5)
	NEXT(X9, X10, X11)
	ROUNDS(14, X5, ABEF0, CDGH0)
	ROUNDS(14, X11, ABEF1, CDGH1)
	NEXT(X4, X5, X6)
	NEXT(X10, X11, X12)
	ROUNDS(15, X6, ABEF0, CDGH0)
	ROUNDS(15, X12, ABEF1, CDGH1)

	// Add the state from before the chunk.
	MOVOU 0(DI), X3
	MOVOU 16(DI), X4
	MOVOU 32(DI), X5
	MOVOU 48(DI), X6
	PADDL X3, ABEF0
	PADDL X4, CDGH0
	PADDL X5, ABEF1
	PADDL X6, CDGH1
	MOVOU ABEF0, 0(DI)
	MOVOU CDGH0, 16(DI)
	MOVOU ABEF1, 32(DI)
	MOVOU CDGH1, 48(DI)

	ADDQ $64, SI
	ADDQ $64, DX
	DECQ CX
	JNZ  loop
	RET

// func cpuid(leaf uint32) (eax, ebx, ecx uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-20
	MOVL leaf+0(FP), AX
	XORL CX, CX
	CPUID
	MOVL AX, eax+8(FP)
	MOVL BX, ebx+12(FP)
	MOVL CX, ecx+16(FP)
	RET
