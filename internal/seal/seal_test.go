package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func ring(t testing.TB, text string) *Keyring {
	t.Helper()
	r, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRotation(t *testing.T) {
	before, after := Generate(), Generate()
	old := ring(t, before)
	sealed := old.Box("p").Seal([]byte("secret"), []byte("row"))
	both := ring(t, after+"# the former key\n\n"+before)
	if got, err := both.Box("p").Open(sealed, []byte("row")); err != nil || string(got) != "secret" {
		t.Errorf("a former key no longer opens: %q %v", got, err)
	}
	if _, err := ring(t, after).Box("p").Open(sealed, []byte("row")); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("without the key: %v", err)
	}
	if _, err := old.Box("p").Open(both.Box("p").Seal(nil, nil), nil); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("the first key does not seal: %v", err)
	}
	if both.Active() != ring(t, after).Active() || len(both.IDs()) != 2 {
		t.Errorf("ids %v", both.IDs())
	}
}

func TestOnlyTheSameOpens(t *testing.T) {
	r := ring(t, Generate())
	b := r.Box("p")
	sealed := b.Seal([]byte("secret"), []byte("row"))
	if _, err := b.Open(sealed, []byte("other row")); !errors.Is(err, ErrNotOpen) {
		t.Errorf("other associated data: %v", err)
	}
	if _, err := r.Box("q").Open(sealed, []byte("row")); !errors.Is(err, ErrNotOpen) {
		t.Errorf("other purpose: %v", err)
	}
	for i := range sealed {
		for bit := range 8 {
			altered := bytes.Clone(sealed)
			altered[i] ^= 1 << bit
			if _, err := b.Open(altered, []byte("row")); err == nil {
				t.Errorf("opens with bit %d of byte %d flipped", bit, i)
			}
		}
	}
	for n := range sealed {
		if _, err := b.Open(sealed[:n], []byte("row")); err == nil {
			t.Errorf("opens when cut to %d bytes", n)
		}
	}
	if bytes.Equal(sealed, b.Seal([]byte("secret"), []byte("row"))) {
		t.Error("the nonce repeats")
	}
	if len(sealed) != len("secret")+b.Overhead() {
		t.Errorf("overhead is not %d", b.Overhead())
	}
}

func TestDerive(t *testing.T) {
	r := ring(t, Generate()+Generate())
	ids := r.IDs()
	active, _ := r.Derive("p", "", 32)
	named, _ := r.Derive("p", ids[0], 32)
	second, _ := r.Derive("p", ids[1], 32)
	other, _ := r.Derive("q", "", 32)
	if !bytes.Equal(active, named) || bytes.Equal(active, second) || bytes.Equal(active, other) || len(active) != 32 {
		t.Error("derived keys are not one for each purpose and key")
	}
	if _, err := r.Derive("p", "nobody", 32); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("unknown id: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	one := strings.TrimSpace(Generate())
	_, secret, _ := strings.Cut(one, ":")
	for name, text := range map[string]string{
		"empty": "", "only comments": "# none\n", "no colon": "abc", "short key": "a:AAAA", "not base64": "a:%%%",
		"no id": ":" + secret, "id with a blank": "a b:" + secret, "long id": strings.Repeat("a", 33) + ":" + secret,
		"one id twice": one + "\n" + one, "too many": manyKeys(maxKeys + 1),
	} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows the key", name)
		}
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(Generate())
	}
	return b.String()
}

const (
	lineA = "a:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
	lineB = "b:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\n"
)

func TestParseAccepts(t *testing.T) {
	for _, c := range []struct{ name, text, ids string }{
		{"one", lineA, "a"},
		{"no newline", strings.TrimSpace(lineA), "a"},
		{"the first is active", lineB + lineA, "b a"},
		{"comments, blanks and CRLF", "# keys\r\n\r\n  " + strings.ReplaceAll(lineA+lineB, "\n", "\r\n"), "a b"},
		{"every character of an id", "old-1.x_Y" + lineA[1:], "old-1.x_Y"},
		{"long id", strings.Repeat("a", 32) + lineA[1:], strings.Repeat("a", 32)},
		{"as many as may be", manyKeys(maxKeys), ""},
	} {
		r, err := Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := strings.Join(r.IDs(), " "); c.ids != "" && got != c.ids {
			t.Errorf("%s: ids %q, want %q", c.name, got, c.ids)
		}
	}
	if first, second := Generate(), Generate(); first == second {
		t.Error("Generate repeats itself")
	}
}

func TestKeyringPrintsWithoutKeys(t *testing.T) {
	r := ring(t, lineA+lineB)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, r); got != "seal.Keyring(a)" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

// TestKeyOfTheSameName covers a ring whose key was replaced under its old id,
// and a text that claims to be sealed with another key of the ring.
func TestKeyOfTheSameName(t *testing.T) {
	sealed := ring(t, lineA).Box("p").Seal([]byte("secret"), nil)
	if _, err := ring(t, "a"+lineB[1:]).Box("p").Open(sealed, nil); !errors.Is(err, ErrNotOpen) {
		t.Errorf("replaced key: %v", err)
	}
	sealed[2] = 'b'
	if _, err := ring(t, lineA+lineB).Box("p").Open(sealed, nil); !errors.Is(err, ErrNotOpen) {
		t.Errorf("claimed key: %v", err)
	}
}

// TestFormIsStable pins the form of what is stored: it must open for ever.
func TestFormIsStable(t *testing.T) {
	r := ring(t, lineA)
	if got, err := r.Derive("mac", "", 16); hex.EncodeToString(got) != stableKey || err != nil {
		t.Errorf("Derive = %x, %v", got, err)
	}
	sealed, _ := hex.DecodeString(stableSealed)
	if got, err := r.Box("p").Open(sealed, []byte("ad")); string(got) != "secret" {
		t.Errorf("opened %q, %v; a new one is %x", got, err, r.Box("p").Seal([]byte("secret"), []byte("ad")))
	}
}

const (
	stableKey    = "197cfa713f62bbe8c4544a8449f716c8"
	stableSealed = "010161a68902eed39d4562ae21b815924b928e6f218fb5542a42626d7aa13d5b1cf0d43678cbb39cb0d6c16d51bc6341d7"
)

func FuzzParse(f *testing.F) {
	f.Add(lineA + lineB)
	f.Add("# x\n" + Generate())
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := Parse(text); err == nil {
			if _, err := r.Box("p").Open(r.Box("p").Seal(nil, nil), nil); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

func FuzzOpen(f *testing.F) {
	b := ring(f, Generate()).Box("p")
	f.Add(b.Seal([]byte("secret"), nil), []byte{})
	f.Add([]byte{version, 200}, []byte("ad"))
	f.Fuzz(func(t *testing.T, sealed, ad []byte) {
		if plain, err := b.Open(sealed, append([]byte("fuzz"), ad...)); err == nil {
			t.Errorf("opened %x: %q", sealed, plain)
		}
	})
}

func BenchmarkSealOpen(b *testing.B) {
	box := ring(b, Generate()).Box("p")
	plain, ad := make([]byte, 600), []byte("ad")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := box.Open(box.Seal(plain, ad), ad); err != nil {
			b.Fatal(err)
		}
	}
}
