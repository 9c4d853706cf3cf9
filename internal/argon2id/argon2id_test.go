package argon2id

import (
	"bytes"
	"encoding/hex"
	"testing"

	"golang.org/x/crypto/argon2"
)

// Vectors of phc-winner-argon2 (test.c) with one lane.
func TestKey(t *testing.T) {
	var m Memory // the same for all: nothing of one computation is seen in the next
	for _, v := range []struct {
		passes, kib    uint32
		password, salt string
		want           string
	}{
		{2, 1 << 16, "password", "somesalt", "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"},
		{2, 1 << 8, "password", "somesalt", "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"},
		{1, 1 << 16, "password", "somesalt", "f6a5adc1ba723dddef9b5ac1d464e180fcd9dffc9d1cbf76cca2fed795d9ca98"},
		{4, 1 << 16, "password", "somesalt", "9025d48e68ef7395cca9079da4c4ec3affb3c8911fe4f86d1a2520856f63172c"},
		{2, 1 << 16, "differentpassword", "somesalt", "0b84d652cf6b0c4beaef0dfe278ba6a80df6696281d7e0d2891b817d8c458fde"},
		{2, 1 << 16, "password", "diffsalt", "bdf32b05ccc42eb15d58fd19b1f856b113da1e9a5874fdcc544308565aa8141c"},
	} {
		if got := hex.EncodeToString(m.Key([]byte(v.password), []byte(v.salt), v.passes, v.kib, 32)); got != v.want {
			t.Errorf("%+v: %s", v, got)
		}
	}
}

// FuzzKey compares with golang.org/x/crypto/argon2, whatever was computed before in the same memory.
func FuzzKey(f *testing.F) {
	for _, kib := range []uint16{0, 1, 8, 9, 31, 32, 63, 600, 2048} {
		f.Add([]byte("password"), []byte("somesalt"), byte(kib), kib, byte(kib))
	}
	f.Add([]byte(nil), []byte(nil), byte(2), uint16(100), byte(64))
	var m Memory
	f.Fuzz(func(t *testing.T, password, salt []byte, passes byte, kib uint16, size byte) {
		p, k, n := uint32(passes%4+1), uint32(kib%4096), uint32(size)+4
		if got, want := m.Key(password, salt, p, k, n), argon2.IDKey(password, salt, p, k, 1, n); !bytes.Equal(got, want) {
			t.Errorf("%x, want %x", got, want)
		}
	})
}

// A computation leaves next to nothing to the garbage collector.
func TestMemoryIsReused(t *testing.T) {
	var m Memory
	m.Key(nil, nil, 1, 1024, 32)
	first := &m.blocks[0]
	m.Key(nil, nil, 2, 512, 32)
	m.Key(nil, nil, 2, 1024, 32)
	if &m.blocks[0] != first {
		t.Error("memory was allocated again")
	}
}

func BenchmarkKey(b *testing.B) {
	var m Memory
	b.ReportAllocs()
	for b.Loop() {
		m.Key([]byte("password"), []byte("somesaltsomesalt"), 2, 19456, 32)
	}
}
