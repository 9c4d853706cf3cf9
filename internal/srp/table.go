package srp

import (
	"crypto/sha256"
	"math/big"
	"sync"
)

const (
	digits = 32  // of an exponent of 256 bits
	radix  = 256 // values of a digit
)

// powers returns a table of 3 MiB: entry [i][d] is g^(d * 256^i) * shift(i). The shifts are fixed powers of g whose product
// is 1. They make all entries numbers of full size, so that digits such as 0 and 1 are as long to multiply as others.
//
// It takes about 30 ms to make and is made at the first use.
var powers = sync.OnceValue(func() *[digits][radix]*big.Int {
	var table [digits][radix]*big.Int
	base := new(big.Int).Set(groupG) // g^(256^i)
	shifts := big.NewInt(1)          // their product for i > 0
	for i := range digits {
		for d := range radix {
			switch {
			case d > 0:
				table[i][d] = mulMod(table[i][d-1], base)
			case i > 0:
				exponent := sha256.Sum256([]byte{byte(i)})
				table[i][0] = new(big.Int).Exp(groupG, new(big.Int).SetBytes(exponent[:]), groupN)
				shifts = mulMod(shifts, table[i][0])
			default:
				table[0][0] = big.NewInt(1) // replaced below
			}
		}
		for range 8 {
			base = mulMod(base, base)
		}
	}
	unshift := new(big.Int).ModInverse(shifts, groupN)
	for d := range radix {
		table[0][d] = mulMod(table[0][d], unshift)
	}
	return &table
})

// Warm makes the table of powers, so that no request has to wait for it.
func Warm() {
	powG(new(big.Int))
}

func mulMod(a, b *big.Int) *big.Int {
	n := new(big.Int).Mul(a, b)
	return n.Mod(n, groupN)
}

// powG is g^e mod N for an exponent below 2^256: 31 multiplications whatever the exponent.
func powG(e *big.Int) *big.Int {
	var exponent [digits]byte
	e.FillBytes(exponent[:])
	if hasIFMA {
		return powGElement(&exponent)
	}
	table := powers()
	// Two products take turns, so that no multiplication has to allocate.
	product, result, quotient := new(big.Int), new(big.Int), new(big.Int)
	result.Set(table[0][exponent[digits-1]])
	for i := 1; i < digits; i++ {
		product.Mul(result, table[i][exponent[digits-1-i]])
		quotient.QuoRem(product, groupN, result)
	}
	return result
}
