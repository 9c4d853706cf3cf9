// Package argon2id computes Argon2id (RFC 9106) of one lane in memory that is kept and used again: golang.org/x/crypto/argon2
// allocates it anew each time, which at 19 MiB a password leaves the garbage collector with as much work as the hash is.
package argon2id

import (
	"encoding/binary"
	"math/bits"

	"golang.org/x/crypto/blake2b"
)

const (
	version    = 0x13
	variant    = 2 // Argon2id
	slices     = 4
	blockWords = 128
	blockBytes = blockWords * 8
)

type block [blockWords]uint64

// Memory is what computations work in, one at a time. It grows to what the largest of them needs and stays as large.
type Memory struct{ blocks []block }

// Key returns the tag of a password: size bytes, 4 or more, after passes over so many KiB of memory with one lane. What the
// computation leaves in the memory depends on the password; the next one overwrites it before reading.
func (m *Memory) Key(password, salt []byte, passes, kib, size uint32) []byte {
	lane := max(kib/slices*slices, 2*slices)
	if uint32(len(m.blocks)) < lane {
		m.blocks = nil // before the next is there
		m.blocks = make([]block, lane)
	}
	blocks := m.blocks[:lane]
	h0 := firstHash(password, salt, passes, kib, size)
	for i := range uint32(2) {
		var content [blockBytes]byte
		binary.LittleEndian.PutUint32(h0[blake2b.Size:], i) // the lane, behind it, is 0
		longHash(content[:], h0[:])
		for w := range blocks[i] {
			blocks[i][w] = binary.LittleEndian.Uint64(content[w*8:])
		}
	}
	for pass := range passes {
		for slice := range uint32(slices) {
			fill(blocks, pass, slice, passes)
		}
	}
	var last [blockBytes]byte
	for w, v := range blocks[lane-1] {
		binary.LittleEndian.PutUint64(last[w*8:], v)
	}
	tag := make([]byte, size)
	longHash(tag, last[:])
	return tag
}

// firstHash is H_0, with room behind it for the numbers of a block and a lane.
func firstHash(password, salt []byte, passes, kib, size uint32) (h0 [blake2b.Size + 8]byte) {
	var in []byte
	for _, n := range []uint32{1, size, kib, passes, version, variant} {
		in = binary.LittleEndian.AppendUint32(in, n)
	}
	for _, text := range [][]byte{password, salt, nil, nil} { // without secret and associated data
		in = append(binary.LittleEndian.AppendUint32(in, uint32(len(text))), text...)
	}
	sum := blake2b.Sum512(in)
	copy(h0[:], sum[:])
	return h0
}

// longHash is H' (RFC 9106, section 3.3): BLAKE2b of any length.
func longHash(out, in []byte) {
	in = append(binary.LittleEndian.AppendUint32(nil, uint32(len(out))), in...)
	if len(out) <= blake2b.Size {
		h, _ := blake2b.New(len(out), nil) // sizes up to 64 are good
		h.Write(in)
		h.Sum(out[:0])
		return
	}
	v := blake2b.Sum512(in)
	for copy(out, v[:32]); len(out)-32 > blake2b.Size; copy(out, v[:32]) {
		out = out[32:]
		v = blake2b.Sum512(v[:])
	}
	h, _ := blake2b.New(len(out)-32, nil)
	h.Write(v[:])
	h.Sum(out[32:32])
}

// fill computes the blocks of one slice.
func fill(blocks []block, pass, slice, passes uint32) {
	lane := uint32(len(blocks))
	segment := lane / slices
	// The first half of the first pass takes its references from a counter, so that they do not depend on the password.
	independent := pass == 0 && slice < slices/2
	var zero, counter, references block
	counter = block{uint64(pass), 0, uint64(slice), uint64(lane), uint64(passes), variant}
	for i := range segment {
		if independent && i%blockWords == 0 {
			counter[6]++
			compress(&references, &zero, &counter, false)
			compress(&references, &zero, &references, false)
		}
		if pass == 0 && slice == 0 && i < 2 {
			continue
		}
		at := slice*segment + i
		former := (at + lane - 1) % lane
		random := blocks[former][0]
		if independent {
			random = references[i%blockWords]
		}
		compress(&blocks[at], &blocks[former], &blocks[reference(random, pass, slice, i, segment)], pass > 0)
	}
}

// reference is the number of the block that a pseudo-random number names (RFC 9106, section 3.4.2).
func reference(random uint64, pass, slice, i, segment uint32) uint32 {
	area, start := 3*segment+i-1, (slice+1)%slices*segment
	if pass == 0 {
		area, start = slice*segment+i-1, 0
	}
	x := random & 0xffffffff
	x = x * x >> 32
	y := uint64(area) * x >> 32
	return uint32((uint64(start) + uint64(area) - 1 - y) % uint64(slices*segment))
}

// compress sets z to G(x, y), or adds it to z.
func compress(z, x, y *block, add bool) {
	var r, t block
	for i := range r {
		r[i] = x[i] ^ y[i]
	}
	t = r
	for i := 0; i < blockWords; i += 16 {
		v := (*[16]uint64)(t[i:])
		permute(&v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7], &v[8], &v[9], &v[10], &v[11], &v[12], &v[13], &v[14], &v[15])
	}
	for i := 0; i < 16; i += 2 {
		permute(&t[i], &t[i+1], &t[i+16], &t[i+17], &t[i+32], &t[i+33], &t[i+48], &t[i+49],
			&t[i+64], &t[i+65], &t[i+80], &t[i+81], &t[i+96], &t[i+97], &t[i+112], &t[i+113])
	}
	if add {
		for i := range z {
			z[i] ^= r[i] ^ t[i]
		}
		return
	}
	for i := range z {
		z[i] = r[i] ^ t[i]
	}
}

// permute is P.
func permute(v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15 *uint64) {
	mix(v0, v4, v8, v12)
	mix(v1, v5, v9, v13)
	mix(v2, v6, v10, v14)
	mix(v3, v7, v11, v15)
	mix(v0, v5, v10, v15)
	mix(v1, v6, v11, v12)
	mix(v2, v7, v8, v13)
	mix(v3, v4, v9, v14)
}

// mix is GB.
func mix(pa, pb, pc, pd *uint64) {
	a, b, c, d := *pa, *pb, *pc, *pd
	a = add(a, b)
	d = bits.RotateLeft64(d^a, -32)
	c = add(c, d)
	b = bits.RotateLeft64(b^c, -24)
	a = add(a, b)
	d = bits.RotateLeft64(d^a, -16)
	c = add(c, d)
	b = bits.RotateLeft64(b^c, -63)
	*pa, *pb, *pc, *pd = a, b, c, d
}

func add(x, y uint64) uint64 { return x + y + 2*uint64(uint32(x))*uint64(uint32(y)) }
