package srp

import (
	"encoding/binary"
	"math/big"
	"slices"
	"sync"
)

// With AVX-512 IFMA, powers modulo N are computed here, several times as fast as by math/big and in a time that does not
// depend on the numbers: S.Gueron and V.Krasnov, "Software Implementation of Modular Exponentiation, Using Advanced Vector
// Instructions Architectures" (almost Montgomery multiplication: the factor 2^3120 is more than 4N, so that nothing has to
// be subtracted at the end).

const (
	digitBits = 52
	digitMask = 1<<digitBits - 1
	numDigits = 60 // 3120 bits
	numWords  = 49 // of 64 bits, that hold the digits
)

// element is a number below 2N in digits of 52 bits, the lowest first; the last four are zero. Unless it is said otherwise,
// it stands for itself divided by 2^3120 mod N.
type element [64]uint64

var (
	elementN      = digitsOf(groupN)
	elementOne    = digitsOf(big.NewInt(1))
	elementFactor = digitsOf(new(big.Int).Exp(big.NewInt(2), big.NewInt(2*numDigits*digitBits), groupN)) // by which toElement multiplies
)

// digitsOf writes n, which is below 2^3120, as it is.
func digitsOf(n *big.Int) *element {
	var z element
	bytes := n.FillBytes(make([]byte, 8*numWords))
	for i := range numDigits {
		word, shift := i*digitBits/64, i*digitBits%64
		d := wordOf(bytes, word) >> shift
		if shift > 64-digitBits {
			d |= wordOf(bytes, word+1) << (64 - shift)
		}
		z[i] = d & digitMask
	}
	return &z
}

// wordOf returns the word of a big-endian number, 0 being the lowest.
func wordOf(bytes []byte, word int) uint64 {
	return binary.BigEndian.Uint64(bytes[8*(numWords-1-word):])
}

// int reads the digits as they are and returns the number mod N.
func (x *element) int() *big.Int {
	var words [numWords]uint64
	for i, d := range x[:numDigits] {
		word, shift := i*digitBits/64, i*digitBits%64
		words[word] |= d << shift
		if shift > 64-digitBits {
			words[word+1] |= d >> (64 - shift)
		}
	}
	bytes := make([]byte, 0, 8*numWords)
	for _, word := range slices.Backward(words[:]) {
		bytes = binary.BigEndian.AppendUint64(bytes, word)
	}
	n := new(big.Int).SetBytes(bytes)
	if n.Cmp(groupN) >= 0 {
		n.Sub(n, groupN)
	}
	return n
}

func toElement(n *big.Int) *element {
	z := digitsOf(n)
	z.mul(z, elementFactor)
	return z
}

func (x *element) toInt() *big.Int {
	var z element
	z.mul(x, elementOne)
	return z.int()
}

func (z *element) mul(x, y *element) { mulIFMA(z, x, y, elementN) }

// exp sets z to x^e. Its time is the same for all exponents below 2^256.
func (z *element) exp(x *element, e *big.Int) {
	exponent := e.FillBytes(make([]byte, max(digits, (e.BitLen()+7)/8)))
	var table [16]element
	table[0] = *toElement(big.NewInt(1))
	for i := 1; i < len(table); i++ {
		table[i].mul(&table[i-1], x)
	}
	result := table[0]
	var factor element
	for _, digit := range exponent {
		for _, window := range [2]byte{digit >> 4, digit & 15} {
			for range 4 {
				result.mul(&result, &result)
			}
			pickIFMA(&factor, &table, uint64(window))
			result.mul(&result, &factor)
		}
	}
	*z = result
}

// elementPowers is powers for elements, 4 MiB: entry [i][d] is g^(d * 256^i). It takes a few milliseconds to make.
var elementPowers = sync.OnceValue(func() *[digits][radix]element {
	table := new([digits][radix]element)
	one := toElement(big.NewInt(1))
	base := toElement(groupG)
	for i := range digits {
		table[i][0] = *one
		for d := 1; d < radix; d++ {
			table[i][d].mul(&table[i][d-1], base)
		}
		base = new(element)
		base.mul(&table[i][radix-1], &table[i][1])
	}
	return table
})

// powGElement is powG.
func powGElement(e *[digits]byte) *big.Int {
	table := elementPowers()
	result := table[0][e[digits-1]]
	for i := 1; i < digits; i++ {
		result.mul(&result, &table[i][e[digits-1-i]])
	}
	return result.toInt()
}

// sharedElement is shared.
func sharedElement(a, v, u, b *big.Int) *big.Int {
	var s element
	s.exp(toElement(v), u)
	s.mul(&s, toElement(a))
	s.exp(&s, b)
	return s.toInt()
}
