package srp

import (
	"crypto/rand"
	"math/big"
	"testing"
)

// withArithmetic runs test with each arithmetic that the processor has.
func withArithmetic(t *testing.T, test func(t *testing.T)) {
	t.Run("math/big", func(t *testing.T) {
		had := hasIFMA
		hasIFMA = false
		defer func() { hasIFMA = had }()
		test(t)
	})
	t.Run("IFMA", func(t *testing.T) {
		if !hasIFMA {
			t.Skip("not on this processor")
		}
		test(t)
	})
}

// raw reads digits as they are, without reducing them.
func raw(x *element) *big.Int {
	n := new(big.Int)
	for i := numDigits - 1; i >= 0; i-- {
		n.Lsh(n, digitBits).Add(n, new(big.Int).SetUint64(x[i]))
	}
	return n
}

func checkProduct(t *testing.T, x, y *big.Int) {
	t.Helper()
	var z element
	for i := range z {
		z[i] = ^uint64(0) // of a former use
	}
	z.mul(digitsOf(x), digitsOf(y))
	got := raw(&z)
	if got.Cmp(new(big.Int).Lsh(groupN, 1)) >= 0 {
		t.Errorf("%x * %x is not below 2N", x, y)
	}
	for i, d := range z {
		if d > digitMask || i >= numDigits && d != 0 {
			t.Errorf("%x * %x: digit %d is %x", x, y, i, d)
		}
	}
	want := new(big.Int).Mul(x, y)
	got.Lsh(got, numDigits*digitBits)
	if got.Sub(got, want).Mod(got, groupN).Sign() != 0 {
		t.Errorf("%x * %x is wrong", x, y)
	}
}

func TestProducts(t *testing.T) {
	if !hasIFMA {
		t.Skip("not on this processor")
	}
	most := new(big.Int).Lsh(groupN, 1)
	most.Sub(most, big.NewInt(1))
	edges := []*big.Int{big.NewInt(0), big.NewInt(1), big.NewInt(digitMask), big.NewInt(digitMask + 1), new(big.Int).Sub(groupN, big.NewInt(1)), groupN, new(big.Int).Add(groupN, big.NewInt(1)), most,
		new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 3073), new(big.Int).Lsh(big.NewInt(1), 100)).Mod(most, most)}
	for i := range 59 { // one full digit each
		edges = append(edges, new(big.Int).Lsh(big.NewInt(digitMask), uint(i*digitBits)))
	}
	for _, x := range edges {
		for _, y := range edges {
			checkProduct(t, x, y)
		}
	}
	for range 500 {
		x, _ := rand.Int(rand.Reader, most)
		y, _ := rand.Int(rand.Reader, most)
		checkProduct(t, x, y)
	}
}

func TestElements(t *testing.T) {
	if !hasIFMA {
		t.Skip("not on this processor")
	}
	for _, n := range []*big.Int{big.NewInt(0), big.NewInt(1), groupG, new(big.Int).Sub(groupN, big.NewInt(1)), new(big.Int).Rsh(groupN, 1)} {
		if got := toElement(n).toInt(); got.Cmp(n) != 0 {
			t.Errorf("%x comes back as %x", n, got)
		}
	}
	var table [16]element
	for i := range table {
		for j := range table[i] {
			table[i][j] = uint64(i*100 + j)
		}
	}
	for i := range table {
		var z element
		if pickIFMA(&z, &table, uint64(i)); z != table[i] {
			t.Errorf("entry %d", i)
		}
	}
}

// TestShared compares S with its definition.
func TestShared(t *testing.T) {
	withArithmetic(t, func(t *testing.T) {
		below := func(n *big.Int) *big.Int { k, _ := rand.Int(rand.Reader, n); return k }
		for range 20 {
			checkShared(t, below(groupN), below(groupN), below(new(big.Int).Lsh(big.NewInt(1), 256)), below(new(big.Int).Lsh(big.NewInt(1), 256)))
		}
		last := new(big.Int).Sub(groupN, big.NewInt(1))
		checkShared(t, last, last, big.NewInt(1), big.NewInt(1))
		checkShared(t, big.NewInt(1), big.NewInt(1), big.NewInt(255), big.NewInt(256))
	})
}

func checkShared(t *testing.T, a, v, u, b *big.Int) {
	t.Helper()
	want := new(big.Int).Exp(v, u, groupN)
	want.Exp(want.Mul(want, a), b, groupN)
	if shared(a, v, u, b).Cmp(want) != 0 {
		t.Errorf("S for A=%x v=%x u=%x b=%x", a, v, u, b)
	}
}

// FuzzPowers compares the two arithmetics.
func FuzzPowers(f *testing.F) {
	f.Add([]byte{1}, []byte{2}, []byte{3}, []byte{255})
	f.Fuzz(func(t *testing.T, a, v, u, b []byte) {
		n := func(text []byte, bytes int) *big.Int { return new(big.Int).SetBytes(text[:min(len(text), bytes)]) }
		checkShared(t, n(a, VerifierSize-1), n(v, VerifierSize-1), n(u, digits), n(b, digits))
		if e := n(u, digits); powG(e).Cmp(new(big.Int).Exp(groupG, e, groupN)) != 0 {
			t.Errorf("g^%x", e)
		}
	})
}
