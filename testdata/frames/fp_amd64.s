#include "textflag.h"

// func framePointer() uintptr: the caller's RBP (an assembly function without a frame keeps it).
TEXT ·framePointer(SB), NOSPLIT, $0-8
	MOVQ BP, ret+0(FP)
	RET
