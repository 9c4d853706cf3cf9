package srp

import "golang.org/x/sys/cpu"

// hasIFMA reports whether the processor multiplies eight numbers of 52 bits at once. BMI2 is for MULX.
var hasIFMA = cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512IFMA && cpu.X86.HasBMI2

// mulIFMA sets z to x * y / 2^3120 mod n, below 2n if x and y are; n is below 2^3072 and ends in 52 bits that are one. Its
// time does not depend on the numbers.
//
//go:noescape
func mulIFMA(z, x, y, n *element)

// pickIFMA sets z to table[i]. It reads all of the table, so that the time and what is left in the processor's caches do
// not tell i.
//
//go:noescape
func pickIFMA(z *element, table *[16]element, i uint64)
